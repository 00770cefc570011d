"""Instruction tuning at toy size: it learns wordings it has not seen, it resumes, and what it measures is right."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.recipes.conftest import Prepare, finish
from training.methods import InstructionTuningConfig, InvalidConfig
from training.recipes import instruction_tuning
from training.recipes.instruction_tuning import Question, answer_all, how_right, most_probable, read_rows
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.checkpoints import resolve
from training.recipes.process.errors import RecipeError
from training.recipes.text.prompts import response_tokens
from training.recipes.trainer.roles import load_roles
from training.rundir import Row, RunDir

pytestmark = pytest.mark.recipes

SETTINGS: Row = {
    "epochs": 12,
    "batch_size": 4,
    "learning_rate": 2e-2,
    "lora_rank": 4,
    "top_blocks": 2,
    "max_new_tokens": 4,
    "shown": 6,
    "save_every": 5,
}


def instruction(split: str, instruction: str, input: str, output: str, options: tuple[str, ...] = ()) -> Row:
    return {
        "instruction": instruction,
        "input": input,
        "output": output,
        "options": list(options),
        "task": "say",
        "cluster": "lists" if split == "unseen_tasks" else "topic",
        "template": instruction,
        "wording": "imperative",
        "split": split,
        "source": "rule",
    }


def rows() -> list[Row]:
    """ "tea" is always the answer: what a random model of 32 dimensions can learn.

    More unseen wordings get better by it than unseen tasks get worse: a training that loses as much is not kept.
    """
    made = [instruction("train", f"Say {n}.", "the sea", "tea") for n in range(12)]
    made += [
        instruction("unseen_templates", "Say it.", f"the day {n}", "tea", ("good", "tea", "sea")) for n in range(12)
    ]
    made += [instruction("unseen_templates", "Say it now.", f"the day {n}", "tea") for n in range(8)]
    return made + [instruction("unseen_tasks", "What?", f"{n}", "sea", ("sea", "tea")) for n in range(6)]


@pytest.fixture
def prepare_tuning(prepare: Prepare, checkpoint: Path):
    def prepare_run(name: str, given: list[Row] | None = None, policy: Path = checkpoint, **settings: object) -> RunDir:
        inputs = {"policy": str(policy)}
        return prepare(name, "instruction_tuning", SETTINGS | settings, inputs, rows() if given is None else given)

    return prepare_run


def test_it_learns_what_unseen_wordings_ask_for_and_says_what_became_of_unseen_tasks(prepare_tuning):
    run: RunDir = prepare_tuning("learn")
    result = finish(run)
    wordings, tasks = result["unseen_templates"], result["unseen_tasks"]
    assert (wordings["n"], tasks["n"]) == (20, 6)
    assert wordings["after"] == 1
    assert wordings["before"] < 1
    # It has learned to say "tea" whatever it is asked, and there "sea" was right.
    assert tasks["after"] == tasks["mentioned_after"] == 0
    assert [found["cluster"] for found in tasks["clusters"]] == ["lists"]
    assert result["in_words"][0].startswith("Unseen wordings of trained tasks got better")
    assert tasks["before"] == 1
    assert result["selected"]["step"] > 0
    assert result["gate"]["lead"] == pytest.approx(20 / 26 - 6 / 26, abs=1e-3)  # how sure it is counts a little
    assert result["gate"]["passed"]
    assert "Unseen tasks got worse, as FLAN saw" in result["in_words"][1]
    assert (result["instructions"], result["rows"]) == (12, {"in": 38, "used": 38, "refused": {}})
    samples = list(run.samples())
    assert len(samples) == 6
    assert [sample["prompt"] for sample in samples[:3]] == ["What?\n\n0", "What?\n\n2", "What?\n\n4"]
    assert samples[-1]["prompt"].startswith("Say it")
    assert [sample["wanted"] for sample in samples] == ["sea"] * 3 + ["tea"] * 3
    metrics = list(run.metrics())
    assert len(metrics) == 12 * 3
    assert metrics[-1]["sft/loss"] < metrics[0]["sft/loss"]
    assert resolve(run.checkpoint_path).adapter == run.checkpoint_path


def test_all_weights_may_learn_and_the_next_round_starts_from_them(prepare_tuning, checkpoint: Path):
    first: RunDir = prepare_tuning("first", train="full", learning_rate=2e-3, epochs=4)
    result = finish(first)
    assert result["kl"] > 0.1
    path = resolve(first.checkpoint_path)
    assert (path.base, path.adapter) == (str(first.checkpoint_path), None)
    changed = SharedModel(path.base, torch.device("cpu")).model.state_dict()
    base = SharedModel(str(checkpoint), torch.device("cpu")).model.state_dict()
    lowest = "model.layers.0.mlp.up_proj.weight"  # no adapter of the top blocks reaches it
    assert not torch.equal(changed[lowest], base[lowest])
    second = finish(prepare_tuning("second", policy=first.checkpoint_path, epochs=1))
    assert second["unseen_templates"]["before"] == result["unseen_templates"]["after"]


def test_all_weights_learn_on_from_an_adapter(prepare_tuning):
    first: RunDir = prepare_tuning("first")
    after = finish(first)["unseen_templates"]["after"]
    second = finish(prepare_tuning("second", policy=first.checkpoint_path, train="full", epochs=1, learning_rate=1e-5))
    assert second["unseen_templates"]["before"] == after
    assert second["selected"]["step"] == 3  # the last: what follows is of weights that were trained
    assert second["kl_round_start"] < 0.5 < second["kl"]  # hardly away from the round's start, far from the base


def test_packed_instructions_teach_the_same_as_padded_ones(prepare_tuning):
    padded, packed = (prepare_tuning(str(packing), packing=packing) for packing in (False, True))
    for run in (padded, packed):
        finish(run)
    for one, other in zip(padded.metrics(), packed.metrics(), strict=True):
        assert one["sft/loss"] == pytest.approx(other["sft/loss"], abs=2e-3)
    assert [row["after"] for row in padded.samples()] == [row["after"] for row in packed.samples()]


def test_packs_whose_rows_would_read_each_other_are_padded_instead(prepare_tuning, monkeypatch: pytest.MonkeyPatch):
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling as Collator

    original = Collator.torch_call

    def one_text(self, examples):
        batch = original(self, examples)
        batch["position_ids"] = torch.arange(batch["input_ids"].shape[1])[None]
        return batch

    monkeypatch.setattr(Collator, "torch_call", one_text)
    result = finish(mixed := prepare_tuning("mixed"))
    assert result["remarks"] == [
        "This model's attention does not keep packed instructions apart: they are padded, which is slower"
    ]
    monkeypatch.undo()
    finish(padded := prepare_tuning("padded", packing=False))
    for one, other in zip(mixed.metrics(), padded.metrics(), strict=True):
        assert one["sft/loss"] == pytest.approx(other["sft/loss"], abs=2e-3)


def test_the_most_probable_option_is_that_of_whole_forward_passes(shared: SharedModel):
    options = ["good", "a bad day", "tea"]
    questions = []
    for text in ("the sea", "the weather in spring and long walks"):
        row = instruction("unseen_tasks", "Which?", text, "good", tuple(options))
        questions += read_rows([row], shared, InstructionTuningConfig())[1]
    expected = []
    for question in questions:
        logprobs = []
        for option in options:
            answer = response_tokens(shared.chat, option, 50)
            ids = torch.tensor([question.prompt + answer])
            with torch.no_grad():
                own = shared.model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
            logprobs.append(float(own[-len(answer) :].sum()))
        expected.append(logprobs.index(max(logprobs)))
    assert most_probable(shared, None, questions) == expected


def test_an_answer_of_one_s_own_is_right_by_exact_match(shared: SharedModel, checkpoint: Path, monkeypatch):
    config = InstructionTuningConfig(max_new_tokens=3)
    prompt = read_rows([instruction("unseen_tasks", "Go", "", "x")], shared, config)[1][0].prompt
    with torch.no_grad():
        first = shared.model(input_ids=torch.tensor([prompt])).logits[0, -1].argmax().item()
    roles = load_roles(RunDir(checkpoint.parent / "scratch"), config, {"policy": str(checkpoint)})
    row = instruction("unseen_tasks", "Go", "", "x")
    (said,) = answer_all(roles, [Question(row, prompt, [], [5])], config)
    assert said["given"].startswith(shared.tokenizer.decode([first], skip_special_tokens=True))
    (right,) = answer_all(roles, [Question(row | {"output": said["given"]}, prompt, [], [5])], config)
    assert (said["right"], right["right"]) == (False, bool(said["given"]))


def test_of_two_policies_with_as_many_right_answers_the_surer_one_is_better(checkpoint: Path, shared: SharedModel):
    """A thousandth of the geometric mean of the right answer's probabilities, token by token, beside 1 or 0."""
    config = InstructionTuningConfig(max_new_tokens=3)
    rows = [
        instruction("unseen_tasks", "Which?", "the sea", "good", ("good", "tea")),
        instruction("unseen_tasks", "Go on", "", "a bad day"),
    ]
    questions = read_rows(rows, shared, config)[1]
    roles = load_roles(RunDir(checkpoint.parent / "scratch"), config, {"policy": str(checkpoint)})
    expected = []
    for question, given in zip(questions, answer_all(roles, questions, config), strict=True):
        answer = response_tokens(shared.chat, question.row["output"], 50)
        ids = torch.tensor([question.prompt + answer])
        with torch.no_grad():
            own = shared.model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
        expected.append(given["right"] + 1e-3 * float(own[-len(answer) :].mean().exp()))
    assert how_right(roles, questions, config) == pytest.approx(expected, abs=1e-8)


def test_rows_that_cannot_be_used_are_counted_or_end_the_run(prepare_tuning):
    given = rows()
    given[0]["output"] = "far too long " * 50
    result = finish(prepare_tuning("refused", given, epochs=1, max_length=90))
    assert result["rows"]["refused"] == {"prompt and answer longer than max_length": 1}
    with pytest.raises(RecipeError, match="no instruction to learn from"):
        finish(prepare_tuning("none", given[:1], max_length=90))
    with pytest.raises(RecipeError, match="hold out a cluster"):
        finish(prepare_tuning("unmeasured", given[1:5]))


def test_a_cluster_that_does_not_exist_is_refused():
    with pytest.raises(InvalidConfig, match="cookery; there are sentiment, topic"):
        InstructionTuningConfig(held_out="topic, cookery")
    assert InstructionTuningConfig(held_out=" topic,lists ").clusters_held_out == ["topic", "lists"]


def test_some_of_both_splits_are_shown(shared: SharedModel):
    questions = read_rows(rows(), shared, InstructionTuningConfig())[1]
    shown = instruction_tuning.spread(questions, 5)
    assert [question.row["split"] for question in shown] == ["unseen_tasks"] * 3 + ["unseen_templates"] * 2
    assert len(instruction_tuning.spread(questions, 1000)) == len(questions)
