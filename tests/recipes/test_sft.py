"""Supervised fine-tuning at toy size, and what all recipes on TRL's trainers share: states, checks, the run's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.recipes.conftest import Prepare, finish, prompt_rows
from tests.recipes.test_ppo import adapter_digest
from training.methods import SFTConfig
from training.recipes import sft
from training.recipes.models.answers import Answers
from training.recipes.models.shared_model import SharedModel, role_logprobs
from training.recipes.process.errors import RecipeError
from training.recipes.trainer import checks, roles
from training.rundir import Row, RunDir

pytestmark = pytest.mark.recipes

SETTINGS: Row = {
    "epochs": 4,
    "batch_size": 4,
    "learning_rate": 2e-2,
    "lora_rank": 4,
    "top_blocks": 2,
    "max_new_tokens": 6,
    "eval_completions": 2,
    "save_every": 3,
}


def answer_rows(count: int, held_out: int = 0, text: str = "a good day") -> list[Row]:
    return [
        {
            "prompt": prompt["messages"],
            "completion": [{"role": "assistant", "content": text}],
            "prompt_id": prompt["prompt_id"],
            "split": prompt["split"],
            "source": "reference",
        }
        for prompt in prompt_rows(count, held_out)
    ]


@pytest.fixture
def prepare_sft(prepare: Prepare, checkpoint: Path):
    def prepare_run(name: str, policy: Path = checkpoint, rows: list[Row] | None = None, **settings: object) -> RunDir:
        given = answer_rows(16, held_out=4) if rows is None else rows
        return prepare(name, "sft", SETTINGS | settings, {"policy": str(policy)}, given)

    return prepare_run


def test_the_policy_learns_to_give_the_answer_and_to_end_it(prepare_sft, checkpoint: Path):
    # A random model of 32 dimensions cannot be surer than about one half of any token; a low temperature helps it.
    run: RunDir = prepare_sft("learn", epochs=30, temperature=0.2)
    result = finish(run)
    metrics = list(run.metrics())
    assert [row["step"] for row in metrics] == list(range(1, 91))  # 12 answers in steps of 4, 30 times
    assert set(metrics[0]) == {"step", "sft/loss", "sft/token_accuracy", "sft/grad_norm", "sft/lr"}
    assert metrics[0]["sft/lr"] == 2e-2
    assert metrics[0]["sft/loss"] > 4
    assert metrics[-1]["sft/loss"] < 1.2
    assert metrics[-1]["sft/token_accuracy"] == 1
    samples = list(run.samples())
    assert len(samples) == 4 * 2
    assert set(samples[0]) == {"step", "prompt_id", "before", "after", "score_before", "score_after"}
    assert sum(row["after"] == "a good day" for row in samples) >= 6
    assert not any(row["before"] == "a good day" for row in samples)

    assert (result["score_before"], result["score_after"], result["stopped"]) == (None, None, None)  # no reward model
    assert result["best_of_n"] == []
    assert result["kl"] == result["kl_round_start"] > 1
    assert [row["step"] for row in result["frontier"]] == list(range(0, 91, 10))
    assert result["frontier"][0]["kl"] == pytest.approx(0, abs=1e-3)
    assert result["selected"]["step"] == 90
    assert result["rows"] == {"in": 16, "used": 16, "refused": {}}
    assert run.progress() == {"done": 90, "total": 90, "unit": "steps"}
    assert sorted(path.name for path in run.path.iterdir()) == [
        "checkpoint",
        "config.json",
        "data.jsonl",
        "metrics.jsonl",
        "phase.json",
        "precision.txt",
        "progress.json",
        "result.json",
        "samples.jsonl",
    ]

    # The adapter says the same to PEFT as to our own model, and names its base.
    config = json.loads((run.checkpoint_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(checkpoint)
    shared = SharedModel(str(checkpoint), torch.device("cpu"))
    shared.adapters.load("policy", run.checkpoint_path)
    ids = torch.tensor([[5, 9, 30, 17]])
    base = AutoModelForCausalLM.from_pretrained(checkpoint)
    loaded = PeftModel.from_pretrained(base, run.checkpoint_path).eval()
    mask = torch.ones(1, 4, dtype=torch.bool)
    answers = Answers(ids[:, :1], mask[:, :1], ids[:, None, 1:], mask[:, None, 1:])
    ours = role_logprobs(shared, answers, answers.response_mask, "policy", 1.0)[:, 0]
    assert torch.allclose(checks.next_token_logprobs(loaded, ids), ours, atol=1e-4)


def test_only_the_answer_and_its_eos_are_learned(shared: SharedModel):
    row = answer_rows(1)[0]
    prompts, examples, _, refused = sft.read_answers([row], shared, SFTConfig())
    tokens, labels = examples[0]["input_ids"], examples[0]["labels"]
    learned = [label for label in labels if label != -100]
    assert len(tokens) == len(labels)
    assert shared.tokenizer.decode(learned) == "a good day<|end|>"
    assert tokens[: -len(learned)] == prompts[0].tokens
    assert labels[: -len(learned)] == [-100] * len(prompts[0].tokens)
    assert not refused


def test_rows_that_do_not_fit_are_counted_by_their_reason(prepare_sft):
    rows = answer_rows(8, held_out=2)
    rows[0]["completion"][0]["content"] = "far too long " * 50
    rows[1]["completion"][0]["content"] = ""
    result = finish(prepare_sft("refused", rows=rows, max_length=60))
    assert result["rows"] == {
        "in": 8,
        "used": 6,
        "refused": {"prompt and answer longer than max_length": 1, "empty answer": 1},
    }
    assert result["answers"] == 4
    with pytest.raises(RecipeError, match="There is no response to learn from"):
        finish(prepare_sft("none", rows=rows[:2], max_length=60))


def test_a_run_stopped_after_its_last_step_trains_no_further(prepare_sft, monkeypatch: pytest.MonkeyPatch):
    whole: RunDir = prepare_sft("whole")
    finish(whole)
    stopped: RunDir = prepare_sft("stopped")

    def stop(*_: object, **__: object) -> Row:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sft, "report_results", stop)
        with pytest.raises(KeyboardInterrupt):
            finish(stopped)
    finish(stopped)
    assert adapter_digest(stopped) == adapter_digest(whole)
    assert list(stopped.metrics()) == list(whole.metrics())


def test_training_nothing_is_noticed(prepare_sft):
    with pytest.raises(RecipeError, match="nothing was trained"):
        finish(prepare_sft("idle", learning_rate=0.0))


def test_a_loss_that_is_no_number_ends_the_run_with_its_reason(prepare_sft, monkeypatch: pytest.MonkeyPatch):
    """From the third step on the loss is NaN: whether a large learning rate overflows depends on the processor."""
    original = sft.sft_trainer

    def overflows(*args):
        trainer = original(*args)
        compute_loss = trainer.compute_loss

        def loss(*inputs, **options):
            return compute_loss(*inputs, **options) * (float("nan") if trainer.state.global_step >= 2 else 1.0)

        trainer.compute_loss = loss
        return trainer

    monkeypatch.setattr(sft, "sft_trainer", overflows)
    run = prepare_sft("wild")
    with pytest.raises(RecipeError, match="learning rate is too large"):
        finish(run)
    assert [row["step"] for row in run.metrics()] == [1, 2]
    assert run.result() is None


def test_a_student_that_is_not_our_policy_is_noticed(prepare_sft, monkeypatch: pytest.MonkeyPatch):
    original = roles.copy_for_trl

    def changed(model):
        student = original(model)
        student.lm_head.weight = torch.nn.Parameter(student.lm_head.weight * 1.1)
        return student

    monkeypatch.setattr(roles, "copy_for_trl", changed)
    with pytest.raises(AssertionError, match="TRL's reference is not ours"):
        finish(prepare_sft("other"))


def test_the_student_has_modules_of_its_own_around_the_same_weights(shared: SharedModel):
    student = roles.copy_for_trl(shared.model)
    pairs = list(zip(student.parameters(), shared.model.parameters(), strict=True))
    assert all(ours is theirs for ours, theirs in pairs)
    assert not set(map(id, student.modules())) & set(map(id, shared.model.modules()))


def test_ppo_starts_from_what_sft_has_made(prepare_sft, prepare: Prepare, reward_model: Path):
    first: RunDir = prepare_sft("first", epochs=30)
    imitated = finish(first)
    settings = {
        "episodes": 16,
        "batch_size": 16,
        "minibatch_size": 16,
        "max_new_tokens": 6,
        "learning_rate": 1e-5,
        "lora_rank": 4,
        "top_blocks": 2,
        "kl_limit": 1000.0,
        "eval_completions": 2,
        "temperature": 0.9,
        "seed": 0,
    }
    inputs = {"policy": str(first.checkpoint_path), "reward_model": str(reward_model)}
    second = prepare("second", "ppo", settings, inputs, prompt_rows(16, held_out=4))
    result = finish(second)
    # Prompts, seed and temperature are the same, so PPO's answers before are those that SFT ended with.
    assert [row["before"] for row in second.samples()] == [row["after"] for row in first.samples()]
    assert result["frontier"][0]["kl"] == pytest.approx(imitated["kl"], abs=1e-2)
    assert result["kl"] > 1 > abs(result["kl_round_start"])
