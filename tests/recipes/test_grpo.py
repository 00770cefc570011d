"""GRPO at toy size: TRL's trainer with our tokens, scores and reference. test_rloo.py tests what the two share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipes.conftest import Prepare, finish, prompt_rows
from tests.recipes.test_ppo import LEARNING
from tests.recipes.test_rloo import METRICS, SETTINGS
from training.methods import GRPOConfig, InvalidConfig
from training.recipes import grpo
from training.rundir import RunDir

pytestmark = pytest.mark.recipes


@pytest.fixture
def prepare_grpo(prepare: Prepare, checkpoint: Path, reward_model: Path):
    def prepare_run(name: str, **settings: object) -> RunDir:
        inputs = {"policy": str(checkpoint), "reward_model": str(reward_model)}
        return prepare(name, "grpo", SETTINGS | settings, inputs, prompt_rows(12, held_out=4))

    return prepare_run


def test_the_policy_learns_what_the_reward_model_likes(prepare_grpo):
    # Means of 256 scores differ by .14 (standard deviation) when nothing is learned; two seeds rose by 1.5 and .7.
    run: RunDir = prepare_grpo("learn", **LEARNING, learning_rate=2e-2, kl_coef=2e-4)
    result = finish(run)
    assert result["score_after"] > result["score_before"] + 0.25
    assert (result["updates"], result["episodes"], result["stopped"]) == (32, 2048, None)
    metrics = list(run.metrics())
    scores = [row["objective/score"] for row in metrics]
    assert sum(scores[-4:]) / 4 > sum(scores[:4]) / 4 + 0.5
    assert all(set(row) == {name.replace("rloo/", "grpo/") for name in METRICS} for row in metrics)
    assert [row["step"] for row in metrics] == list(range(1, 33))  # updates, of two optimiser steps each
    # The last update's answers and those after it are of nearly the same policy: so are their KLs, in the same unit.
    assert metrics[-1]["objective/kl"] == pytest.approx(result["kl"], rel=0.4)
    assert result["kl"] > 0.5


def test_the_first_step_is_at_the_reference_and_its_size_depends_on_the_loss(prepare_grpo):
    """With one step to an update every ratio is 1 and the KL is 0; GRPO's loss is minus the mean advantage, 0."""
    norms = []
    for loss in ("grpo", "dr_grpo"):
        run: RunDir = prepare_grpo(loss, episodes=32, minibatch_size=32, learning_rate=1e-3, loss=loss)
        finish(run)
        first = next(run.metrics())
        assert first["objective/kl"] == pytest.approx(0, abs=1e-4)
        assert loss != "grpo" or first["grpo/loss"] == pytest.approx(0, abs=1e-5)
        assert first["grpo/policy/clipfrac"] == 0
        norms.append(first["grpo/grad_norm"])
    assert norms[0] != pytest.approx(norms[1], rel=0.01)


def test_the_kl_is_logged_per_completion():
    log = {
        "kl": 0.25,
        "completions/mean_length": 8.0,
        "reward": 1.0,
        "entropy": 3.0,
        "loss": 0.1,
        "grad_norm": 1.0,
        "clip_ratio/region_mean": 0.25,
        "learning_rate": 0.01,
        "completions/clipped_ratio": 0.5,
    }
    metrics = grpo.describe(log, 0.1)
    assert (metrics["objective/kl"], metrics["objective/score_total"]) == (2.0, pytest.approx(0.8))
    assert (metrics["response/eos_share"], metrics["grpo/policy/clipfrac"]) == (0.5, 0.25)


def test_settings_are_checked():
    with pytest.raises(InvalidConfig, match="should divide batch_size"):
        GRPOConfig(batch_size=32, completions_per_prompt=3)
    with pytest.raises(InvalidConfig, match="one of grpo, dr_grpo"):
        GRPOConfig(loss="dapo")
