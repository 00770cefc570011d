"""RLOO at toy size: TRL's trainer with our scores, our units and our reference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.recipes.conftest import Prepare, finish, prompt_rows
from tests.recipes.test_ppo import LEARNING
from training.methods import InvalidConfig, RLOOConfig
from training.recipes import rloo
from training.recipes.models.generation import Drawing, sample
from training.recipes.models.reward_model import RewardModel
from training.recipes.models.shared_model import SharedModel
from training.recipes.process.errors import RecipeError
from training.recipes.process.seeds import generator
from training.recipes.text.prompts import prompt_tokens
from training.recipes.trainer import online
from training.rundir import Row, RunDir

pytestmark = pytest.mark.recipes

SETTINGS: Row = {
    "episodes": 128,
    "batch_size": 32,
    "minibatch_size": 16,
    "max_new_tokens": 8,
    "learning_rate": 1e-2,
    "lora_rank": 4,
    "top_blocks": 2,
    "kl_coef": 0.002,
    "kl_limit": 100.0,
    "temperature": 1.0,
}
METRICS = {
    "step",
    "objective/kl",
    "objective/kl_coef",
    "objective/score",
    "objective/score_total",
    "rloo/policy/entropy",
    "rloo/loss",
    "rloo/policy/clipfrac",
    "rloo/grad_norm",
    "rloo/lr",
    "response/length",
    "response/eos_share",
}


@pytest.fixture
def prepare_rloo(prepare: Prepare, checkpoint: Path, reward_model: Path):
    def prepare_run(name: str, policy: Path = checkpoint, **settings: object) -> RunDir:
        inputs = {"policy": str(policy), "reward_model": str(reward_model)}
        return prepare(name, "rloo", SETTINGS | settings, inputs, prompt_rows(12, held_out=4))

    return prepare_run


def test_the_policy_learns_what_the_reward_model_likes(prepare_rloo):
    # Sixteen responses a prompt make steady steps: two seeds gain 0.7 and 1.6. One that does not move draws the same
    # answers: exactly 0.
    steady: Row = {"episodes": 4096, "batch_size": 128, "minibatch_size": 128, "completions_per_prompt": 16}
    run: RunDir = prepare_rloo("learn", **LEARNING | steady, learning_rate=1e-2, kl_coef=2e-4, passes=1)
    result = finish(run)
    assert result["score_after"] > result["score_before"] + 0.25
    assert (result["updates"], result["episodes"], result["stopped"]) == (32, 4096, None)
    assert [row["n"] for row in result["best_of_n"]] == [1, 2, 4, 8, 16]
    assert [row["step"] for row in result["frontier"]] == [0, 5, 10, 15, 20, 25, 30, 32]
    # A reward model with one head has nothing to choose by but what was trained on.
    assert result["selected"]["step"] == 32
    assert result["selected"]["reason"].startswith("the last one: nothing measures it")
    assert result["rows"] == {"in": 12, "used": 12, "refused": {}}

    metrics = list(run.metrics())
    assert all(set(row) == METRICS for row in metrics)
    assert [row["step"] for row in metrics] == list(range(1, 33))  # updates, of one optimiser step each
    assert metrics[0]["objective/kl"] == pytest.approx(0, abs=1e-4)
    assert metrics[0]["objective/score"] == pytest.approx(result["score_before"], abs=0.6)
    # The last update's answers and those after it are of nearly the same policy: so are their KLs, in the same unit.
    assert metrics[-1]["objective/kl"] == pytest.approx(result["kl"], rel=0.4)
    assert result["kl"] > 0.5
    assert run.progress() == {"done": 32, "total": 32, "unit": "updates"}


def test_it_stops_when_the_kl_exceeds_its_limit_and_keeps_the_policy_from_before(prepare_rloo):
    fast: Row = LEARNING | {"learning_rate": 3e-2, "passes": 2, "minibatch_size": 64, "episodes": 384}
    free: RunDir = prepare_rloo("free", **fast)
    finish(free)
    callback = [row["objective/kl"] for row in free.metrics()]
    limit = max(callback[3:]) * 0.99
    first_above = next(step for step, kl in enumerate(callback, start=1) if kl > limit)
    run: RunDir = prepare_rloo("limited", kl_limit=limit, **fast)
    result = finish(run)
    assert result["stopped"].endswith(f"at update {first_above}")
    assert result["updates"] == first_above
    assert result["selected"]["step"] == first_above - 2
    assert [row["objective/kl"] for row in run.metrics()] == callback[:first_above]
    # What is kept is the policy that drew the answers of the update before.
    assert result["kl"] == pytest.approx(callback[first_above - 2], rel=0.5)


def test_answers_are_scored_as_the_reward_model_scores_them(checkpoint: Path, reward_model: Path):
    """Finished and cut ones: TRL gives the drawn tokens, with EOS only where the policy drew it."""
    shared = SharedModel(str(checkpoint), torch.device("cpu"))
    model = RewardModel.load(shared, reward_model)
    messages = [row["messages"] for row in prompt_rows(4)]
    tokens = [prompt_tokens(shared.chat, prompt, 100) for prompt in messages]
    rollout = sample(shared, None, tokens, Drawing(32, 12, 2.0), generator(0, "answers"))
    assert rollout.finished.any()
    assert not rollout.finished.all()
    expected = rollout.read_as_seen(shared, rollout.answers, model.score)
    drawn = [
        ids[mask].tolist()
        for ids, mask in zip(rollout.answers.response.flatten(0, 1), rollout.drawn.flatten(0, 1), strict=True)
    ]
    score = online.scorer(model, dict(enumerate(tokens)), 32)
    carried = [online.stand_in(number) for number in range(4)]
    scores = score(prompts=[prompt for prompt in carried for _ in range(32)], completion_ids=drawn)
    assert scores == pytest.approx(expected.flatten().tolist(), abs=1e-4)
    # An answer's EOS is a part of what is scored.
    unclosed = model.score(
        rollout.answers.__class__(
            rollout.answers.prompt,
            rollout.answers.prompt_mask,
            rollout.answers.response,
            rollout.drawn & ~torch.isin(rollout.answers.response, shared.stops),
        )
    )
    assert float((unclosed - expected).abs().max()) > 0.05
    with pytest.raises(AssertionError, match="mixed the answers"):
        score(prompts=carried * 32, completion_ids=drawn)


def test_the_kl_is_logged_per_completion():
    log = {
        "kl": 0.5,
        "completions/mean_length": 8.0,
        "reward": 2.0,
        "entropy": 3.0,
        "loss": 0.1,
        "grad_norm": 1.0,
        "clip_ratio/region_mean": 0.25,
        "learning_rate": 0.01,
        "completions/clipped_ratio": 0.75,
    }
    metrics = rloo.describe(log, 0.1)
    assert metrics["objective/kl"] == 4.0
    assert metrics["objective/score_total"] == pytest.approx(1.6)
    assert metrics["response/eos_share"] == 0.25


def test_the_reference_is_the_base_in_a_second_round_too(prepare_rloo):
    first: RunDir = prepare_rloo("first", episodes=320, learning_rate=3e-2, eval_completions=16)
    reached = finish(first)
    second: RunDir = prepare_rloo(
        "second", policy=first.checkpoint_path, episodes=128, batch_size=128, learning_rate=1e-3, eval_completions=16
    )
    result = finish(second)
    start = next(second.metrics())
    assert reached["kl"] > 0.2
    assert start["objective/kl"] == pytest.approx(reached["kl"], rel=0.5)
    assert result["score_before"] == pytest.approx(reached["score_after"], abs=1e-3)
    assert result["kl"] > result["kl_round_start"]


def test_it_needs_a_reward_model_and_a_prompt(prepare: Prepare, checkpoint: Path, reward_model: Path):
    inputs = {"policy": str(checkpoint)}
    with pytest.raises(RecipeError, match="reward_model"):
        finish(prepare("none", "rloo", SETTINGS, inputs, prompt_rows(2)))
    inputs["reward_model"] = str(reward_model)
    with pytest.raises(RecipeError, match="no prompt to train on"):
        finish(prepare("long", "rloo", SETTINGS | {"max_prompt_tokens": 2}, inputs, prompt_rows(2)))


def test_batches_hold_whole_groups():
    with pytest.raises(InvalidConfig, match="should divide batch_size"):
        RLOOConfig(batch_size=32, completions_per_prompt=3)
    with pytest.raises(InvalidConfig, match="should be at least 2"):
        RLOOConfig(completions_per_prompt=1)
