"""Best-of-n distillation at toy size: the policy learns from the best and the worst of its own answers."""

from __future__ import annotations

import json
from math import log
from pathlib import Path
from statistics import fmean

import pytest
from safetensors.torch import load_file

from tests.recipes.conftest import Prepare, finish, prompt_rows
from tests.recipes.test_dpo import METRICS
from training.methods import InvalidConfig
from training.methods.distil import METHOD, DistilConfig
from training.methods.load import Available
from training.recipes import distil
from training.recipes.distil import ScoredAnswer
from training.recipes.process.errors import RecipeError
from training.rundir import Row, RunDir

pytestmark = pytest.mark.recipes

SETTINGS: Row = {
    "completions_per_prompt": 64,
    "pairs_per_prompt": 16,
    "max_new_tokens": 8,
    "temperature": 1.0,
    "epochs": 4,
    "batch_size": 16,
    "learning_rate": 1e-2,
    "lora_rank": 4,
    "top_blocks": 2,
    "eval_completions": 16,
    "save_every": 2,
}


@pytest.fixture
def prepare_distil(prepare: Prepare, checkpoint: Path, reward_model: Path):
    def prepare_run(name: str, policy: Path = checkpoint, **settings: object) -> RunDir:
        inputs = {"policy": str(policy), "reward_model": str(reward_model)}
        return prepare(name, "distil", SETTINGS | settings, inputs, prompt_rows(12, held_out=4))

    return prepare_run


def test_the_policy_learns_to_prefer_what_scored_better(prepare_distil):
    """How far that raises the score of a random model's answers to other prompts is luck: it is not asked."""
    run: RunDir = prepare_distil("learn")
    result = finish(run)
    assert (result["pairs"], result["sampled"]["responses"]) == (8 * 16, 8 * 64)
    assert result["sampled"]["worst"] < result["sampled"]["mean"] < result["sampled"]["best"]
    assert result["sampled"]["mean"] == pytest.approx(result["score_before"], abs=0.4)  # of other prompts, in few draws
    assert result["rows"] == {"in": 12, "used": 12, "refused": {}}
    # A reward model with one head has no judge: the last policy is kept.
    assert result["selected"]["step"] == 32
    assert [row["step"] for row in result["frontier"]] == [0, 10, 20, 30, 32]
    metrics = list(run.metrics())
    assert all(set(row) == METRICS for row in metrics)
    assert metrics[0]["dpo/loss"] == pytest.approx(log(2), abs=1e-4)  # the policy is the reference yet
    assert fmean(row["dpo/loss"] for row in metrics[-8:]) < 0.6
    assert fmean(row["dpo/accuracy"] for row in metrics[-8:]) > 0.8
    assert result["kl"] == result["kl_round_start"] > 0.5
    assert result["score_after"] != result["score_before"]
    assert not (run.path / distil.SAMPLED).exists()


def test_a_resumed_run_learns_from_the_answers_that_were_drawn(prepare_distil, monkeypatch):
    whole: RunDir = prepare_distil("whole", epochs=1)
    finish(whole)
    run: RunDir = prepare_distil("resumed", epochs=1)
    with monkeypatch.context() as broken:
        broken.setattr(distil, "learn_from_pairs", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception, match="killed"):
            finish(run)
    assert len(json.loads((run.path / distil.SAMPLED).read_text())) == 8
    monkeypatch.setattr(distil, "draw", lambda *_: pytest.fail("drawn again"))
    finish(run)
    expected, found = (load_file(each.checkpoint_path / "adapter_model.safetensors") for each in (whole, run))
    assert all(tensor.equal(found[name]) for name, tensor in expected.items())


def test_a_second_round_samples_with_its_policy_and_keeps_the_base_as_reference(prepare_distil):
    first: RunDir = prepare_distil("first")
    reached = finish(first)
    second: RunDir = prepare_distil("second", policy=first.checkpoint_path, learning_rate=1e-3, epochs=1)
    result = finish(second)
    assert result["score_before"] == pytest.approx(reached["score_after"], abs=1e-3)
    # With the same random numbers the base would have answered the same again.
    assert result["sampled"]["mean"] != pytest.approx(reached["sampled"]["mean"], abs=1e-3)
    assert next(second.metrics())["dpo/margin"] != pytest.approx(0, abs=1e-4)
    assert result["kl"] > result["kl_round_start"]


def test_the_best_is_learned_from_against_the_worst():
    answers = [ScoredAnswer([number], score) for number, score in enumerate([0.1, 0.9, 0.5, -0.2, 0.7])]
    pairs = [(best.tokens[0], worst.tokens[0]) for best, worst in distil.best_and_worst(answers, 2)]
    assert pairs == [(1, 3), (4, 0)]
    assert len(distil.best_and_worst(answers, 8)) == 2  # the middle one of five has no partner
    # The same answer twice is one answer, and where all score the same there is nothing to learn.
    assert distil.best_and_worst([answers[0], answers[0]], 1) == []
    assert distil.best_and_worst([ScoredAnswer([1], 0.5), ScoredAnswer([2], 0.5)], 1) == []


def test_what_it_cannot_learn_from_is_said(prepare: Prepare, prepare_distil, checkpoint: Path, reward_model: Path):
    with pytest.raises(RecipeError, match=r"no inputs\.reward_model"):
        finish(prepare("none", "distil", SETTINGS, {"policy": str(checkpoint)}, prompt_rows(2)))
    with pytest.raises(RecipeError, match="no prompt to train on"):
        finish(prepare_distil("long", max_prompt_tokens=2))
    with pytest.raises(RecipeError, match="Raise temperature"):
        finish(prepare_distil("cold", temperature=0.01, completions_per_prompt=2, pairs_per_prompt=1, max_new_tokens=1))


def test_settings_fit_each_other_and_the_forecast_follows_them():
    with pytest.raises(InvalidConfig, match=r"at most half of completions_per_prompt \(4\), not 3"):
        DistilConfig(completions_per_prompt=4, pairs_per_prompt=3)
    config = DistilConfig(completions_per_prompt=16, pairs_per_prompt=4, max_new_tokens=10, epochs=2).as_json()
    assert METHOD.work(config, 100) == 100 * 10 * (16 + 2 * 4 * 2)
    # 90 prompts to learn from; 720 pairs in 45 steps: evaluations before, after and at steps 10, 20, 30 and 40.
    assert METHOD.answers(config, Available(prompts=100, held_out=10)) == 90 * 16 + 10 * 4 * (2 + 4)
    drawn, learned = METHOD.draws(config, 50), METHOD.learns(config, 50, 99)
    assert (drawn.rows, drawn.answers, drawn.tokens) == (4, 16, 4 * (50 + 160))
    assert (learned.rows, learned.tokens) == (32, 32 * 60)
