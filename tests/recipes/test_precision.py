"""bfloat16 and float32 go the same way: the ratio begins at 1, the KL at 0, and what is saved is what was trained."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch

from tests.forked import command
from tests.recipes.conftest import LIKES_A, Prepare, finish, preference_rows, prompt_rows
from tests.recipes.test_ppo import SETTINGS
from training.recipes.losses.rl_math import head_logprobs, policy_loss, token_logprobs
from training.recipes.models.shared_model import SharedModel
from training.recipes.process import precision
from training.recipes.process.errors import RecipeError
from training.recipes.rl.episodes import sampler_weights
from training.rundir import Row, RunDir

pytestmark = pytest.mark.recipes
CPU = torch.device("cpu")


@pytest.fixture
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(precision.VARIABLE, "bfloat16")


@pytest.mark.usefixtures("bfloat16")
def test_ppo_holds_its_invariants_in_bfloat16(prepare: Prepare, checkpoint: Path, reward_model: Path):
    inputs = {"policy": str(checkpoint), "reward_model": str(reward_model)}
    run = prepare("ppo", "ppo", SETTINGS | {"episodes": 64}, inputs, prompt_rows(12, held_out=4))
    result = finish(run)
    assert result["precision"] == "bfloat16"
    rows = list(run.metrics())
    assert all(row["ppo/ratio_first_minibatch"] == pytest.approx(1, abs=2e-2) for row in rows)
    assert rows[0]["objective/kl"] == 0  # one pass over the answers, for policy and reference alike
    assert 0 < rows[0]["ppo/sampler_gap"] < 1
    assert abs(rows[0]["ppo/sampler_kl"]) < 0.1
    # The next round goes on from the saved adapter, which is float32 in either format.
    again = prepare(
        "again", "ppo", SETTINGS | {"episodes": 32}, inputs | {"policy": str(run.checkpoint_path)}, run.rows()
    )
    assert finish(again)["score_before"] == pytest.approx(result["score_after"], abs=1e-3)
    assert next(again.metrics())["objective/kl_round_start"] == pytest.approx(0, abs=1e-3)


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("sft", {"epochs": 1}),
        ("dpo", {"epochs": 1}),
        ("reward", LIKES_A),
        ("reward", {"learning_curve": 1, "reference_samples": 8}),
    ],
)
def test_other_methods_run_in_bfloat16(prepare: Prepare, checkpoint: Path, method: str, given: Row):
    rows = preference_rows(12, held_out=4)
    if method == "sft":
        rows = [{**row, "completion": row["chosen"]} for row in rows]
    run = prepare(method, method, given, {"policy": str(checkpoint), "base_model": str(checkpoint)}, rows)
    assert finish(run)["precision"] == "bfloat16"


@pytest.mark.usefixtures("bfloat16")
def test_a_model_that_learns_as_a_whole_stays_float32(prepare: Prepare, checkpoint: Path, reward_model: Path):
    inputs = {"policy": str(checkpoint), "reward_model": str(reward_model)}
    given = SETTINGS | {"episodes": 32, "train": "full", "learning_rate": 1e-3}
    assert finish(prepare("full", "ppo", given, inputs, prompt_rows(8)))["precision"] == "float32"


def test_weights_are_bfloat16_adapters_are_not_and_checks_see_every_digit(checkpoint: Path):
    with precision.using(torch.bfloat16):
        shared = SharedModel(str(checkpoint), CPU)
    shared.adapters.add("policy", rank=2, top_blocks=2)
    assert shared.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in shared.adapters.parameters("policy")} == {torch.float32}
    assert shared.layered  # agreed to 1e-4 while the weights were widened


def test_a_resumed_run_keeps_its_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = RunDir(tmp_path)
    for asked in ("bfloat16", "float32"):
        monkeypatch.setenv(precision.VARIABLE, asked)
        with precision.of_run(run, CPU, learns_whole=False) as format:
            assert format.dtype == precision.current() == torch.bfloat16
    assert precision.current() == torch.float32


@pytest.mark.parametrize(
    ("instructions", "times", "expected"),
    [(True, 2.0, torch.bfloat16), (True, 1.4, torch.float32), (False, 9.0, torch.float32)],
)
def test_the_machine_is_asked_and_measured(monkeypatch, instructions: bool, times: float, expected: torch.dtype):
    monkeypatch.setenv(precision.VARIABLE, "auto")
    monkeypatch.setattr(precision, "has_instructions", lambda: instructions)
    monkeypatch.setattr(precision, "speed_up", lambda: times)
    assert precision.choose(CPU) == (expected, False)
    assert precision.choose(CPU, learns_whole=True) == (torch.float32, False)


def test_an_unknown_precision_is_refused_in_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(precision.VARIABLE, "fp8")
    with pytest.raises(RecipeError, match="PREFLOOP_PRECISION is 'fp8'; it may be auto, float32, bfloat16 or 4bit"):
        precision.choose(CPU)


def test_tokens_of_another_sampler_are_weighted_up_to_a_limit():
    """By hand: e^0.5 = 1.649, e^-1 = 0.368, e^2 = 7.39 cut at 2; a masked place and mere rounding weigh 1."""
    trainer = torch.tensor([[[-1.0, -2.0, -1.0, 0.0]]])
    sampler = torch.tensor([[[-1.5, -1.0, -3.0, 5.0]]])
    mask = torch.tensor([[[True, True, True, False]]])
    assert sampler_weights(trainer, sampler, mask)[0, 0].tolist() == pytest.approx([1.6487, 0.3679, 2.0, 1.0], abs=1e-4)
    assert sampler_weights(trainer, trainer + 1e-3, mask).eq(1).all()
    # And in the loss: −A · w · 1 for each of two tokens, (−1 · 2 + 1 · 0.5) / 2.
    same, advantages = torch.zeros(1, 2), torch.tensor([[1.0, -1.0]])
    seen = torch.ones(1, 2, dtype=torch.bool)
    loss = policy_loss(same, same, advantages, seen, 0.2, weights=torch.tensor([[2.0, 0.5]])).loss
    assert float(loss) == pytest.approx(-0.75)


def test_log_probabilities_of_bfloat16_states_are_those_of_their_logits():
    torch.manual_seed(0)
    hidden = torch.randn(9, 16, dtype=torch.bfloat16, requires_grad=True)
    weight, tokens = torch.randn(50, 16, dtype=torch.bfloat16), torch.arange(9)
    ours = head_logprobs(hidden, weight, tokens, 0.5)
    assert ours.dtype == torch.float32
    ours.sum().backward()
    gradient, hidden.grad = hidden.grad, None
    exact = token_logprobs(hidden.float() @ weight.float().T, tokens, 0.5)
    exact.sum().backward()
    assert torch.allclose(ours, exact, atol=0.1)
    assert torch.allclose(gradient.float(), hidden.grad.float(), atol=0.1)


def test_the_format_reaches_a_recipe_from_its_environment(prepare: Prepare, checkpoint: Path):
    rows = [{**row, "completion": row["chosen"]} for row in preference_rows(6, held_out=2)]
    run = prepare("sft", "sft", {"epochs": 1}, {"policy": str(checkpoint)}, rows)
    program = command("training.recipes.sft", run.path)
    subprocess.run(program, check=True, env={**os.environ, precision.VARIABLE: "bfloat16"})
    assert (run.path / precision.FILE).read_text() == "bfloat16"
