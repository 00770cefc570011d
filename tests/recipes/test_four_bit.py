"""A base model in four bits (QLoRA) by bitsandbytes: the same invariants, a fifth of the memory, or a refusal."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tests.recipes.conftest import LIKES_A, Prepare, finish, preference_rows, prompt_rows
from tests.recipes.test_ppo import SETTINGS
from training.memory import ModelShape, read_shape
from training.recipes.models.shared_model import SharedModel
from training.recipes.package import package
from training.recipes.process import precision
from training.recipes.process.errors import RecipeError
from training.rundir import Row

CPU = torch.device("cpu")
pytestmark = pytest.mark.recipes
needs_bitsandbytes = pytest.mark.skipif(
    find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed: the extra qlora"
)


@pytest.fixture
def four_bit(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Four bits, and in what they are computed whatever this processor is: the name of a format."""
    monkeypatch.setenv(precision.VARIABLE, "4bit")
    monkeypatch.setattr(precision, "has_instructions", lambda: request.param == "bfloat16")
    monkeypatch.setattr(precision, "speed_up", lambda: 9.0)


@needs_bitsandbytes
@pytest.mark.parametrize("four_bit", ["float32"], indirect=True)
@pytest.mark.usefixtures("four_bit")
def test_ppo_learns_over_a_base_in_four_bits(prepare: Prepare, checkpoint: Path, reward_model: Path, tmp_path: Path):
    inputs = {"policy": str(checkpoint), "reward_model": str(reward_model)}
    run = prepare("ppo", "ppo", SETTINGS | {"episodes": 64}, inputs, prompt_rows(12, held_out=4))
    result = finish(run)
    assert result["precision"] == "4bit-float32"
    rows = list(run.metrics())
    assert all(row["ppo/ratio_first_minibatch"] == pytest.approx(1, abs=1e-4) for row in rows)
    assert rows[0]["objective/kl"] == pytest.approx(0, abs=1e-5)
    assert result["kl"] > 0.01
    # The next round goes on from the saved adapter, and on the same base.
    inputs["policy"] = str(run.checkpoint_path)
    again = prepare("again", "ppo", SETTINGS | {"episodes": 32}, inputs, run.rows())
    assert finish(again)["score_before"] == pytest.approx(result["score_after"], abs=1e-4)
    package(run.checkpoint_path, tmp_path / "merged")  # over the weights as they came
    assert SharedModel(str(tmp_path / "merged"), CPU).dtype == torch.float32


@needs_bitsandbytes
@pytest.mark.parametrize("four_bit", ["float32", "bfloat16"], indirect=True)
@pytest.mark.parametrize(("method", "given"), [("sft", {"epochs": 1}), ("dpo", {"epochs": 1}), ("reward", LIKES_A)])
@pytest.mark.usefixtures("four_bit")
def test_other_methods_run_over_a_base_in_four_bits(
    prepare: Prepare, checkpoint: Path, method: str, given: Row, request: pytest.FixtureRequest
):
    rows = preference_rows(12, held_out=4)
    if method == "sft":
        rows = [{**row, "completion": row["chosen"]} for row in rows]
    run = prepare(method, method, given, {"policy": str(checkpoint), "base_model": str(checkpoint)}, rows)
    assert finish(run)["precision"] == f"4bit-{request.node.callspec.params['four_bit']}"


@needs_bitsandbytes
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_linear_layers_are_four_bits_and_what_is_read_is_what_transformers_reads(checkpoint: Path, dtype: torch.dtype):
    from transformers import AutoModelForCausalLM

    with precision.using(dtype, four_bit=True):
        shared = SharedModel(str(checkpoint), CPU)
        plain = AutoModelForCausalLM.from_pretrained(checkpoint, **precision.loading(CPU))
    precision.hide_four_bits(plain)
    shape = read_shape(checkpoint)
    assert shape is not None
    narrow = [each for each in shared.model.parameters() if each.dtype == torch.uint8]
    assert sum(each.numel() for each in narrow) == shape.blocks * sum(a * b for a, b in shape.linear_sizes) // 2
    assert (shared.dtype, shared.layered) == (dtype, True)
    shared.adapters.add("policy", rank=2, top_blocks=2)
    assert {parameter.dtype for parameter in shared.adapters.parameters("policy")} == {torch.float32}
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        ours, theirs = (model(input_ids=ids).logits for model in (shared.model, plain))
    torch.testing.assert_close(ours, theirs, atol=1e-4 if dtype == torch.float32 else 5e-2, rtol=0)


@needs_bitsandbytes
def test_all_weights_learn_in_float32(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(precision.VARIABLE, "4bit")
    assert precision.choose(CPU, learns_whole=True) == (torch.float32, False)


def test_four_bits_without_bitsandbytes_are_refused_before_anything_starts(
    prepare: Prepare, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(precision.VARIABLE, "4bit")
    monkeypatch.setattr(precision, "find_spec", lambda name: None)
    run = prepare("sft", "sft", {"epochs": 1}, {"policy": str(checkpoint)}, [])
    with pytest.raises(RecipeError, match="PREFLOOP_PRECISION is 4bit, for which bitsandbytes is not installed"):
        finish(run)
    assert not run.metrics_path.exists()


def test_weights_in_four_bits_by_hand():
    shape = ModelShape(hidden=64, blocks=2, heads=2, key_heads=1, head_size=32, inner=128, vocabulary=10)
    linear = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128  # of a block
    rest = 2 * 2 * 64 + 10 * 64 + 64 * 128  # norms, embedding, and the largest layer as wide as it is used
    # A weight has 4 bits, 64 of them a scale of 8 bits, and 256 scales one of 32.
    assert shape.weights(2, four_bit=True) == int(2 * rest + 2 * linear * (4 + 1 / 8 + 1 / 512) / 8)
    assert shape.weights(2) == 2 * shape.parameters
