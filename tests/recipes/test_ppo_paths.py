"""Ways through PPO that must agree: with and without the shared trunk, one process and two, LoRA and all weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests import NIGHTLY
from tests.recipes.conftest import Prepare, finish, prompt_rows
from tests.recipes.killing import POINTS, kill_at
from tests.recipes.test_ppo import SETTINGS, without_times
from training.methods import PPOConfig
from training.recipes.process.distributed import Processes
from training.recipes.rl.episodes import sample_episodes, score_rollouts
from training.recipes.rl.guards import distinct_pairs, stop_after_learning, stop_after_sampling
from training.recipes.rl.policy import load_roles
from training.recipes.rl.update import minibatch_loss
from training.recipes.text.prompts import read_prompts
from training.rundir import Row, RunDir

pytestmark = pytest.mark.recipes


@pytest.fixture
def prepare_ppo(prepare: Prepare, checkpoint: Path, reward_model: Path):
    def prepare_run(name: str, policy: Path = checkpoint, **settings: object) -> RunDir:
        inputs = {"policy": str(policy), "reward_model": str(reward_model)}
        return prepare(name, "ppo", SETTINGS | settings, inputs, prompt_rows(12, held_out=4))

    return prepare_run


# --- the shared trunk --------------------------------------------------------------------------------------------


def one_update(checkpoint: Path, reward_model: Path, *, fast: bool, **settings: object) -> dict[str, torch.Tensor]:
    """Everything that an update computes, on a policy that has moved a little from its reference."""
    torch.manual_seed(0)  # fresh adapters
    config = PPOConfig(**{**SETTINGS, "kl_coef": 0.5, **settings})
    policy = load_roles(config, {"policy": str(checkpoint), "reward_model": str(reward_model)})
    policy.shared.layered = policy.actor.layered = fast
    dice = torch.Generator().manual_seed(1)
    for parameter in policy.parameters:
        with torch.no_grad():
            parameter.add_(torch.randn(parameter.shape, generator=dice), alpha=0.02)
    prompts, _ = read_prompts(policy.shared.chat, prompt_rows(12), 200)
    rollout = sample_episodes(policy, prompts, 1, config, Processes())
    assert (rollout.answers.prompt_trunk is not None) == (fast and config.train == "lora")
    batch, tokens, metrics = score_rollouts(policy, rollout, config.kl_coef, config, Processes())
    part = batch.select(torch.arange(4))
    # As after a first step: ratios off 1, some of them clipped, the value head no longer zero.
    part = replace(part, old_logprobs=part.old_logprobs + 0.15 * torch.randn(part.mask.shape, generator=dice))
    torch.nn.init.constant_(policy.value_head.weight, 0.1)
    losses = minibatch_loss(policy, part, config, int(tokens[:4].sum()))
    losses["loss"].backward()
    gradients = [parameter.grad.flatten() for parameter in policy.parameters if parameter.grad is not None]
    return {
        "tokens": rollout.answers.response.float(),
        "values": batch.old_values,
        "advantages": batch.advantages,
        "returns": batch.returns,
        "logprobs": batch.old_logprobs,
        "loss": losses["loss"].detach()[None],
        "clipfrac": losses["clipfrac"][None],
        "gradients": torch.cat(gradients),
        "value gradient": policy.value_head.weight.grad.flatten(),
        "metrics": torch.tensor([metrics[name] for name in sorted(metrics)]),
    }


@pytest.mark.parametrize("options", [{}, {"top_blocks": 99}, {"value_model": "separate"}, {"train": "full"}])
def test_the_fast_and_the_general_path_agree(checkpoint: Path, reward_model: Path, options: Row):
    fast = one_update(checkpoint, reward_model, fast=True, **options)
    general = one_update(checkpoint, reward_model, fast=False, **options)
    assert 0 < float(fast["clipfrac"]) < 1
    assert float(fast["gradients"].abs().max()) > 1e-3
    for name, values in fast.items():
        assert values.shape == general[name].shape
        torch.testing.assert_close(values, general[name], atol=1e-4, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}")


# --- all weights, and a value model of its own -------------------------------------------------------------------


def test_all_weights_learn_and_the_reference_stays(prepare_ppo, checkpoint: Path):
    first: RunDir = prepare_ppo("whole", train="full", episodes=128, learning_rate=3e-4)
    reached = finish(first)
    assert next(first.metrics())["objective/kl"] == pytest.approx(0, abs=1e-4)
    assert reached["kl"] > 0.01
    assert (first.checkpoint_path / "model.safetensors").exists()
    second: RunDir = prepare_ppo("next", policy=first.checkpoint_path, train="full", episodes=32, learning_rate=1e-4)
    result = finish(second)
    start = next(second.metrics())
    assert start["objective/kl_round_start"] == pytest.approx(0, abs=1e-4)
    assert start["objective/kl"] > 0.01  # still to the model of the first round's start
    assert result["score_before"] == pytest.approx(reached["score_after"], abs=1e-3)


def test_a_whole_model_goes_on_from_an_adapter(prepare_ppo):
    first: RunDir = prepare_ppo("adapter", episodes=64)
    reached = finish(first)
    second: RunDir = prepare_ppo("folded", policy=first.checkpoint_path, train="full", episodes=32, learning_rate=1e-4)
    result = finish(second)
    assert result["score_before"] == pytest.approx(reached["score_after"], abs=1e-3)
    assert next(second.metrics())["objective/kl_round_start"] == pytest.approx(0, abs=1e-4)


def test_a_separate_value_model_begins_as_the_reward_model_and_is_kept(prepare_ppo, reward_model: Path):
    config = PPOConfig(**SETTINGS, value_model="separate")
    inputs = {"policy": json.loads((reward_model / "adapter_config.json").read_text())["base_model_name_or_path"]}
    policy = load_roles(config, {**inputs, "reward_model": str(reward_model)})
    of_reward, of_value = policy.shared.adapters.weights("reward"), policy.shared.adapters.weights("value")
    assert of_reward.keys() == of_value.keys()
    assert all(torch.equal(of_reward[name], of_value[name]) for name in of_reward)

    first: RunDir = prepare_ppo("value", value_model="separate", episodes=64)
    finish(first)
    kept = load_file(first.checkpoint_path / "value" / "adapter_model.safetensors")
    assert any(not torch.equal(kept[name], of_value[name]) for name in kept)
    again = load_roles(config, {"policy": str(first.checkpoint_path), "reward_model": str(reward_model)})
    assert all(torch.equal(kept[name], tensor) for name, tensor in again.shared.adapters.weights("value").items())


# --- reasons to stop ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"learning_rate": 1.0, "clipfrac_limit": 0.3}, "of the tokens were clipped, above 30%, at update 1"),
        ({"entropy_floor": 90.0}, "below 90, at update 1"),
        ({"length_floor": 50.0}, "below 50, at update 1"),
    ],
)
def test_it_stops_with_the_policy_from_before_and_says_why(prepare_ppo, options: Row, words: str):
    run: RunDir = prepare_ppo("stopped", episodes=64, **options)
    result = finish(run)
    assert result["stopped"].endswith(words)
    assert (result["updates"], result["selected"]["step"]) == (0, 0)
    assert result["score_after"] == result["score_before"]
    assert not result["gate"]["passed"]
    assert not run.checkpoint_path.exists()  # the policy from before is the one that it started from


def test_ratios_that_blow_up_stop_the_run():
    fine = {"ppo/policy/clipfrac": 0.1, "ppo/ratio_max": 4.9}
    assert stop_after_learning(fine, PPOConfig()) is None
    words = stop_after_learning(fine | {"ppo/ratio_max": 40.0}, PPOConfig())
    assert words == "the mean ratio of a minibatch reached 40, above 5"


def test_a_kl_per_token_means_the_same_for_answers_of_any_length():
    """9.6 nats in 40 tokens are 0.24 nats per token, in 20 tokens 0.48."""
    long = {"objective/kl": 9.6, "ppo/policy/entropy": 2.0, "response/length": 40.0, "response/distinct_2": 0.9}
    limited = PPOConfig(kl_limit_per_token=0.3)
    assert stop_after_sampling(long, limited) is None
    short = long | {"response/length": 20.0}
    assert stop_after_sampling(short, limited) == "KL of 0.480 nats per token exceeded the limit of 0.3"
    assert stop_after_sampling(short, PPOConfig()) is None
    assert stop_after_sampling(short | {"objective/kl": 10.4}, limited) == "KL of 10.4 nats exceeded the limit of 10"


def test_answers_that_repeat_themselves_stop_the_run():
    fine = {"objective/kl": 1.0, "ppo/policy/entropy": 2.0, "response/length": 20.0, "response/distinct_2": 0.31}
    assert stop_after_sampling(fine, PPOConfig()) is None
    words = stop_after_sampling(fine | {"response/distinct_2": 0.25}, PPOConfig())
    assert words == "only 25% of the answers' token pairs are distinct, below 30%"


def test_distinct_pairs_are_counted_within_each_answer():
    response = torch.tensor([[1, 2, 1, 2, 9], [3, 3, 3, 3, 3], [4, 9, 9, 9, 9]])
    drawn = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], dtype=torch.bool)
    # (1,2) (2,1) (1,2): 2 of 3. (3,3) four times: 1 of 4. No pair at all: nothing is repeated.
    assert distinct_pairs(response, drawn).tolist() == pytest.approx([2 / 3, 1 / 4, 1.0])


# --- resume ------------------------------------------------------------------------------------------------------


SEPARATE: Row = {"value_model": "separate"}
WHOLE: Row = {"train": "full", "learning_rate": 3e-4}
KILLS = [(SEPARATE, [(1, "metrics"), (2, "swap")]), (WHOLE, [(3, "half")])]
AT_NIGHT = [(options, [(step, point) for step in (1, 3, 4)]) for options in (SEPARATE, WHOLE) for point in POINTS]


@pytest.mark.parametrize(("options", "kills"), AT_NIGHT if NIGHTLY else KILLS)
def test_killed_again_and_again_it_ends_with_the_same_weights(prepare_ppo, options: Row, kills: list[tuple[int, str]]):
    """Attempts end by kill -9 at these points; the weights are those of an unbroken run, bit for bit."""
    settings: Row = {"episodes": 160, "eval_every": 2, "kl_target": 0.5, **options}
    whole: RunDir = prepare_ppo("unbroken", **settings)
    finish(whole)
    killed: RunDir = prepare_ppo("killed", **settings)
    for step, point in kills:
        kill_at(killed, step, point)
    finish(killed)
    name = "model.safetensors" if options.get("train") == "full" else "adapter_model.safetensors"
    ours, theirs = load_file(killed.checkpoint_path / name), load_file(whole.checkpoint_path / name)
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in ours.items())
    assert without_times(killed.metrics()) == without_times(whole.metrics())
    assert killed.result()["frontier"] == whole.result()["frontier"]
