"""KTO at toy size: it learns what was called good and bad, from votes on single answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.recipes.conftest import Prepare, finish, ranking_rows
from tests.recipes.test_dpo import logprob
from training.methods import KTOConfig
from training.recipes import kto
from training.recipes.kto import LabelledAnswer
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.errors import RecipeError
from training.rundir import Row, RunDir

pytestmark = pytest.mark.recipes

SETTINGS: Row = {
    "epochs": 3,
    "batch_size": 8,
    "learning_rate": 1e-2,
    "lora_rank": 4,
    "top_blocks": 2,
    "max_new_tokens": 6,
    "eval_completions": 2,
    "save_every": 3,
}
METRICS = {"step", "kto/loss", "kto/kl", "kto/grad_norm", "kto/lr"} | {
    f"kto/{figure}_{side}" for figure in ("gain", "logprob") for side in ("good", "bad")
}


@pytest.fixture
def prepare_kto(prepare: Prepare, checkpoint: Path):
    def prepare_run(name: str, policy: Path = checkpoint, rows: list[Row] | None = None, **settings: object) -> RunDir:
        given = ranking_rows(12, held_out=4) if rows is None else rows  # 8 prompts with a good and a bad answer each
        return prepare(name, "kto", SETTINGS | settings, {"policy": str(policy)}, given)

    return prepare_run


def thumb(prompt: str, text: str, good: bool, prompt_id: int, split: str = "train", annotator: str = "imported") -> Row:
    """A row of the snapshot as one imported or sent thumb makes it, or a unary annotation."""
    said = {"tiers": [[0]], "unacceptable": [] if good else [0], "weight": 1.0, "annotator": annotator}
    said["ratings"] = [{"place": 0, "criterion": "acceptable", "rating": float(good)}]
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "candidates": [{"text": text, "finished": True}],
        "rankings": [said],
        "prompt_id": prompt_id,
        "group_id": prompt_id,
        "split": split,
        "policy": -1,
    }


def test_the_policy_learns_what_was_called_good(prepare_kto):
    run: RunDir = prepare_kto("learn", epochs=8)
    result = finish(run)
    metrics = list(run.metrics())
    assert all(set(row) <= METRICS for row in metrics)
    assert set.union(*(set(row) for row in metrics)) == METRICS
    # At first the policy is the reference: 1 - σ(0) = ½ for each answer, whatever it is, and no KL.
    assert metrics[0]["kto/loss"] == pytest.approx(0.5, abs=1e-4)
    assert metrics[0]["kto/kl"] == pytest.approx(0, abs=1e-4)
    assert metrics[-1]["kto/loss"] < 0.4
    assert metrics[-1]["kto/gain_good"] > 0 > metrics[-1]["kto/gain_bad"]
    assert metrics[-1]["kto/kl"] >= 0
    # The second person ties the last two, so the middle answer has a vote on each side.
    assert (result["good"], result["bad"], result["labels_eval"]) == (8, 8, 8)
    assert result["rows"] == {"in": 36, "used": 24, "refused": {kto.NO_MAJORITY: 12}}
    assert result["weights"] == {"good": 1.0, "bad": 1.0}
    assert result["auc"] > 0.8
    assert result["kl"] > 0.1


def test_the_kl_is_that_of_answers_to_other_prompts(prepare_kto, checkpoint: Path):
    """The first figures of a second round, by PEFT alone; they are the same when the step is learned in parts."""
    first: RunDir = prepare_kto("first")
    finish(first)
    rows = ranking_rows(6)
    starts = []
    for parts in (0, 3):
        name, more = f"second-{parts}", {"batch_size": 12, "epochs": 1, "micro_batch": parts}
        run: RunDir = prepare_kto(name, policy=first.checkpoint_path, rows=rows, learning_rate=1e-3, **more)
        finish(run)
        starts.append(next(run.metrics()))

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(checkpoint), first.checkpoint_path).eval()
    shared = SharedModel(str(checkpoint), torch.device("cpu"))
    _, answers, _, _ = kto.read_answers(rows, shared, KTOConfig())
    assert len(answers) == 12
    others = kto.answers_of_other_prompts(answers)
    assert all(other != row.answer for row, other in zip(answers, others, strict=True))
    mismatched = [gain(model, row.prompt, other) for row, other in zip(answers, others, strict=True)]
    good = [gain(model, row.prompt, row.answer) for row in answers if row.good]
    assert abs(sum(mismatched) / 12) > 0.05
    for start in starts:
        assert start["kto/kl"] == pytest.approx(max(sum(mismatched) / 12, 0), abs=1e-3)
    assert starts[0]["kto/gain_good"] == pytest.approx(0.1 * sum(good) / len(good), abs=1e-3)
    assert starts[1]["kto/loss"] == pytest.approx(starts[0]["kto/loss"], abs=1e-4)


def gain(model: PeftModel, prompt: list[int], answer: list[int]) -> float:
    with model.disable_adapter():
        reference = logprob(model, prompt, answer)
    return logprob(model, prompt, answer) - reference


def test_thumbs_alone_are_enough_and_the_rarer_kind_weighs_more(prepare_kto):
    rows = [thumb(f"prompt {number}", "aaaa aa", True, number) for number in range(6)]
    rows += [thumb(f"prompt {n}", "hhhh h", False, n, annotator="annotator-7") for n in range(6, 8)]
    run = prepare_kto("thumbs", rows=rows)
    result = finish(run)
    # Before anything is learned each loss is ½: (6 · ½ + 2 · 3 · ½) / 8.
    assert next(run.metrics())["kto/loss"] == pytest.approx(0.75, abs=1e-4)
    assert (result["good"], result["bad"], result["weights"]) == (6, 2, {"good": 1.0, "bad": 3.0})
    assert (result["labels_eval"], result["auc"]) == (0, None)
    assert result["sources"] == {"imported": 6, "unary": 2}
    run = prepare_kto("unweighted", rows=rows, balanced=False, epochs=1)
    unweighted = finish(run)
    assert next(run.metrics())["kto/loss"] == pytest.approx(0.5, abs=1e-4)
    assert unweighted["weights"] == {"good": 1.0, "bad": 1.0}


def test_nothing_to_learn_from_is_refused_in_words(prepare_kto):
    tied = [
        row | {"rankings": [{**row["rankings"][0], "tiers": [[0, 1, 2]], "unacceptable": []}]}
        for row in ranking_rows(3)
    ]
    with pytest.raises(RecipeError, match="no response to train on that people found good or bad"):
        finish(prepare_kto("tied", rows=tied))
    one = [thumb("the same", text, good, 1) for text, good in (("aaa", True), ("bbb", False))]
    with pytest.raises(RecipeError, match="All responses answer one prompt"):
        finish(prepare_kto("one", rows=one))


def test_the_share_in_order_by_hand():
    # Good gains 1, 3; bad gains 0, 3: 1 > 0, 1 < 3, 3 > 0, 3 = 3: 2.5 of 4.
    rows = [LabelledAnswer([1], [2], good) for good in (True, True, False, False)]
    assert kto.share_in_order(rows, [1.0, 3.0, 0.0, 3.0]) == 0.625
    assert kto.share_in_order(rows[:2], [1.0, 3.0]) is None
