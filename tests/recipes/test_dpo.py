"""DPO at toy size: it learns what was preferred, against the same reference in every round."""

from __future__ import annotations

from math import log
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.recipes.conftest import Prepare, finish, preference_rows, prompt_rows
from tests.tiny_model import shared_checkpoint
from training.methods import DPOConfig
from training.recipes import dpo
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.errors import RecipeError
from training.recipes.trainer.pairs import TokenPair, pair_logprobs
from training.rundir import Row, RunDir

pytestmark = pytest.mark.recipes

SETTINGS: Row = {
    "epochs": 3,
    "batch_size": 12,
    "learning_rate": 1e-2,
    "lora_rank": 4,
    "top_blocks": 2,
    "max_new_tokens": 6,
    "eval_completions": 2,
    "save_every": 3,
}
METRICS = {
    "step",
    "dpo/loss",
    "dpo/accuracy",
    "dpo/margin",
    "dpo/logprob_chosen",
    "dpo/logprob_rejected",
    "dpo/grad_norm",
    "dpo/lr",
}


@pytest.fixture
def prepare_dpo(prepare: Prepare, checkpoint: Path):
    def prepare_run(name: str, policy: Path = checkpoint, rows: list[Row] | None = None, **settings: object) -> RunDir:
        given = preference_rows(12, held_out=4) if rows is None else rows  # 24 pairs to train on, 12 unseen ones
        return prepare(name, "dpo", SETTINGS | settings, {"policy": str(policy)}, given)

    return prepare_run


def test_the_policy_learns_what_was_preferred(prepare_dpo):
    run: RunDir = prepare_dpo("learn", epochs=15)
    result = finish(run)
    metrics = list(run.metrics())
    assert all(set(row) == METRICS for row in metrics)
    assert [row["step"] for row in metrics] == list(range(1, 31))
    # At first the policy is the reference: σ(0) = ½, whatever the pairs are.
    assert metrics[0]["dpo/loss"] == pytest.approx(log(2), abs=1e-4)
    assert metrics[0]["dpo/margin"] == pytest.approx(0, abs=1e-4)
    assert metrics[-1]["dpo/loss"] < 0.3
    assert metrics[-1]["dpo/accuracy"] == 1
    assert metrics[-1]["dpo/logprob_chosen"] > metrics[0]["dpo/logprob_chosen"]
    assert (result["pairs"], result["pairs_eval"]) == (24, 12)
    assert result["accuracy"] > 0.8
    assert result["kl"] == result["kl_round_start"] > 0.1
    assert result["frontier"][0]["kl"] == pytest.approx(0, abs=1e-3)
    assert result["rows"] == {"in": 36, "used": 36, "refused": {}}
    assert len(list(run.samples())) == 4 * 2


def test_the_reference_is_the_base_in_a_second_round_too(prepare_dpo, checkpoint: Path):
    """TRL's margin in the first step, before anything is learned, against log-probabilities taken by PEFT alone."""
    first: RunDir = prepare_dpo("first")
    finish(first)
    rows = preference_rows(4)
    second: RunDir = prepare_dpo("second", policy=first.checkpoint_path, rows=rows, batch_size=12, learning_rate=1e-3)
    result = finish(second)
    start = next(second.metrics())

    base = AutoModelForCausalLM.from_pretrained(checkpoint)
    model = PeftModel.from_pretrained(base, first.checkpoint_path).eval()
    shared = SharedModel(str(checkpoint), torch.device("cpu"))
    _, pairs, _, _ = dpo.read_pairs(rows, shared, DPOConfig())
    assert len(pairs) == 12
    margins = []
    for pair in pairs:
        policy = logprob(model, pair.prompt, pair.chosen) - logprob(model, pair.prompt, pair.rejected)
        with model.disable_adapter():
            reference = logprob(model, pair.prompt, pair.chosen) - logprob(model, pair.prompt, pair.rejected)
        margins.append(0.1 * (policy - reference))
    assert abs(sum(margins) / 12) > 0.05
    assert start["dpo/margin"] == pytest.approx(sum(margins) / 12, abs=1e-3)
    assert result["kl"] > result["kl_round_start"] > 0
    assert all(row["reference"] is not None for row in second.samples())


def logprob(model, prompt: list[int], answer: list[int]) -> float:
    with torch.no_grad():
        logprobs = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    return sum(float(logprobs[len(prompt) + place - 1, token]) for place, token in enumerate(answer))


def test_pairs_are_read_as_they_are_scored(shared: SharedModel):
    row = preference_rows(1)[0]
    _, pairs, unseen, _ = dpo.read_pairs([row, row | {"split": "eval"}], shared, DPOConfig())
    assert pairs == unseen
    text = shared.tokenizer.decode(pairs[0].chosen)
    assert text == row["chosen"][0]["content"] + "<|end|>"
    # Summed over the answer's tokens with its EOS, whatever it is padded to beside another one.
    sums = pair_logprobs(shared, [pairs[0], TokenPair([5], [7, 8], [9])], None, 2)
    assert sums.shape == (2, 2)
    assert float(sums[0, 0]) == pytest.approx(logprob(shared.model, pairs[0].prompt, pairs[0].chosen), abs=1e-3)
    assert float(sums[1, 1]) == pytest.approx(logprob(shared.model, [5], [9]), abs=1e-4)


def test_rows_that_do_not_fit_are_counted_by_their_reason(prepare_dpo):
    rows = preference_rows(4)
    rows[0]["chosen"][0]["content"] = "far too long " * 50
    rows[1]["rejected"] = rows[1]["chosen"]
    result = finish(prepare_dpo("refused", rows=rows, max_length=60))
    assert result["rows"] == {
        "in": 12,
        "used": 10,
        "refused": {"prompt and answer longer than max_length": 1, "both answers are the same": 1},
    }
    assert (result["pairs"], result["pairs_eval"], result["accuracy"]) == (10, 0, None)
    with pytest.raises(RecipeError, match="no pair to train on"):
        finish(prepare_dpo("none", rows=rows[:2], max_length=60))


@pytest.mark.parametrize("method", ["dpo", "rloo"])
def test_it_is_measured_by_a_reward_model_of_another_base(prepare: Prepare, reward_model: Path, method: str):
    inputs = {"policy": str(shared_checkpoint(seed=1)), "reward_model": str(reward_model)}
    settings = {"learning_rate": 1e-2, "lora_rank": 4, "top_blocks": 2, "max_new_tokens": 6, "eval_completions": 2}
    if method == "dpo":
        run = prepare("mixed", method, settings | {"epochs": 1}, inputs, preference_rows(12, held_out=4))
    else:
        run = prepare("mixed", method, settings | {"episodes": 32}, inputs, prompt_rows(12, held_out=4))
    result = finish(run)
    assert result["score_before"] is not None
    assert result["score_after"] != result["score_before"]
