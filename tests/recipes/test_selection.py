"""Which checkpoint is kept, and when it may be put into use: hand-worked figures, then real runs at toy size."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipes.conftest import Prepare, finish, preference_rows, prompt_rows, trained_reward
from training.recipes.selection import gate, select
from training.rundir import Row

pytestmark = pytest.mark.recipes

JUDGED: Row = {"learning_curve": 0, "reference_samples": 40, "max_new_tokens": 8}  # two heads: the second judges
SMALL: Row = {"lora_rank": 4, "top_blocks": 2, "max_new_tokens": 6, "eval_completions": 4}


def evaluated(step: int, kl: float, *judged: float) -> Row:
    judge = sum(judged) / len(judged) if judged else None
    return {"step": step, "kl": kl, "score": float(step), "judge": judge, "by_prompt": list(judged)}


START = evaluated(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_the_judge_chooses_and_not_the_score():
    step, reason = select(
        [evaluated(0, 0.0, 0.5, 0.4, 0.6), evaluated(5, 1.0, 1, 1.1, 0.9), evaluated(10, 4.0, 0.2, 0, 0)]
    )
    assert step == 5
    assert "best by the judge (1.00) of 3" in reason


def test_what_the_judge_cannot_tell_apart_is_decided_by_the_kl():
    start = evaluated(0, 0.0, -9.0, -9.0, -9.0)
    # Differences of the later one to the earlier: 0.4, -0.2, 0.1, mean 0.1, standard error 0.3 / sqrt(3) = 0.17.
    step, reason = select([start, evaluated(5, 1.0, 1.0, 1.0, 1.0), evaluated(10, 4.0, 1.4, 0.8, 1.1)])
    assert step == 5
    assert "within one standard error of the best (1.10 at step 10)" in reason
    # 0.4, 0.2, 0.3: mean 0.3, standard error 0.1 / sqrt(3) = 0.06: the later one is better.
    assert select([start, evaluated(5, 1.0, 1.0, 1.0, 1.0), evaluated(10, 4.0, 1.4, 1.2, 1.3)])[0] == 10


def test_the_unchanged_policy_is_kept_where_nothing_is_better():
    """The case of the finding: the judge fell from -0.149 to -0.302, and the later policy was put into use."""
    evaluations = [evaluated(0, 0.0, -0.1, -0.2, -0.15), evaluated(5, 2.0, -0.3, -0.31, -0.3)]
    assert select(evaluations)[0] == 0
    verdict = gate(evaluations, 0, seed=0)
    assert not verdict["passed"]
    assert verdict["reason"] == (
        "no step is better than the policy it started from by the judge (-0.15 at 0; -0.30 at 5)"
    )


def test_without_a_judge_the_last_is_kept_and_not_promoted():
    evaluations = [evaluated(0, 0.0), evaluated(5, 1.0), evaluated(8, 2.0)]
    assert select(evaluations)[0] == 8
    assert gate(evaluations, 8, seed=0) == {
        "passed": False,
        "reason": "nothing measures it that it was not trained on: train a reward model with 2 heads or more",
    }


def test_a_policy_that_is_better_on_every_prompt_passes():
    verdict = gate([START, evaluated(5, 1.5, 0.4, 0.5, 0.6, 0.5, 0.5)], 5, seed=0)
    assert verdict["passed"]
    assert verdict["lead"] == 0.5
    assert 0.4 <= verdict["ci95"][0] < 0.5 < verdict["ci95"][1] <= 0.6
    assert verdict["reason"].startswith(
        "better than the policy it started from: +0.50 by the judge on 5 held-out prompts"
    )


@pytest.mark.parametrize(
    ("later", "unseen", "words"),
    [
        ((0.9, -0.8, 0.7, -0.6, 0.1), True, "not surely better than the policy it started from: +0.06"),
        ((0.5, 0.5, 0.5, 0.5), True, "it takes 5 to tell"),
        ((0.5, 0.5, 0.5, 0.5, 0.5), False, "measured on those that it was trained on"),
    ],
)
def test_what_may_be_chance_does_not_pass(later: tuple[float, ...], unseen: bool, words: str):
    verdict = gate([evaluated(0, 0.0, *[0.0] * len(later)), evaluated(5, 1.0, *later)], 5, seed=0, unseen=unseen)
    assert not verdict["passed"]
    assert words in verdict["reason"]


# --- real runs ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def judged_reward(checkpoint: Path) -> Path:
    """Likes the letter a, and so does its judge, which learned from other prompts."""
    return trained_reward(checkpoint, JUDGED, rankings=30, candidates=4)


@pytest.mark.parametrize("method", ["ppo", "rloo"])
def test_steps_that_make_it_worse_leave_no_version(
    prepare: Prepare, checkpoint: Path, judged_reward: Path, method: str
):
    """A rate of 0.5 wrecks a policy in one update: the judge sees no gain, and the unchanged policy is what is kept."""
    settings = SMALL | {"episodes": 64, "batch_size": 32, "minibatch_size": 16, "learning_rate": 0.5, "kl_limit": 1e4}
    settings |= {"entropy_floor": 0.0, "length_floor": 0.0, "eval_every": 1}
    if method == "ppo":
        settings |= {"clipfrac_limit": 1.0, "ratio_limit": 1e6, "distinct_floor": 0.0}
    inputs = {"policy": str(checkpoint), "reward_model": str(judged_reward)}
    run = prepare("wrecked", method, settings, inputs, prompt_rows(24, held_out=8))
    result = finish(run)
    judged = [row["judge"] for row in result["frontier"]]
    assert len(judged) == 3
    assert result["selected"]["step"] == 0
    assert not result["gate"]["passed"]
    assert result["judge_after"] == result["judge_before"] == judged[0]
    assert not run.checkpoint_path.exists()


def test_dpo_keeps_its_best_checkpoint_and_not_its_last(prepare: Prepare, checkpoint: Path):
    """Without a reward model unseen pairs decide. Far too many passes at a high rate end worse than they were."""
    settings = SMALL | {"epochs": 20, "batch_size": 12, "learning_rate": 3e-2, "eval_every": 4}
    run = prepare("dpo", "dpo", settings, {"policy": str(checkpoint)}, preference_rows(20, held_out=8))
    result = finish(run)
    steps = [row["step"] for row in result["frontier"]]
    assert steps == list(range(0, 61, 4))
    assert result["selected"]["step"] in steps
    assert "the margin on unseen pairs" in result["selected"]["reason"]
    assert all(row["step"] == result["selected"]["step"] for row in run.samples())
    kept = next(row for row in result["frontier"] if row["step"] == result["selected"]["step"])
    assert result["kl"] == kept["kl"]
    assert not (run.path / "candidates").exists()
