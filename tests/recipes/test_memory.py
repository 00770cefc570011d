"""The forecast of memory: by hand, against the machine, and in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.recipes.conftest import Prepare, finish, prompt_rows
from tests.recipes.test_ppo import SETTINGS
from training.memory import GIB, ModelShape, forecast, read_shape, refusal, shape_of
from training.methods import DPOConfig, PPOConfig, SFTConfig
from training.recipes.process import fits
from training.recipes.process.errors import RecipeError
from training.recipes.process.resources import available_memory

pytestmark = pytest.mark.recipes

SEVEN_BILLION = ModelShape(4096, 32, 32, 32, 128, 11008, 32000, tied=False)  # Llama-2-7B


def test_sizes_come_from_config_json():
    config = {"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3}
    shape = shape_of(config | {"intermediate_size": 1536, "vocab_size": 49152, "tie_word_embeddings": True})
    assert shape == ModelShape(576, 30, 9, 3, 64, 1536, 49152)
    assert shape.parameters == 134_515_008 - 576  # SmolLM2-135M, whose last norm is not counted
    assert SEVEN_BILLION.parameters == 6_738_415_616 - 4096
    assert shape_of({"n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257}).inner == 4 * 768
    assert shape_of({"text_config": config | {"vocab_size": 10}}).vocabulary == 10
    assert shape_of({"model_type": "something else"}) is None


def test_weights_adapters_and_cache_by_hand():
    config = DPOConfig(lora_rank=2, top_blocks=1, max_new_tokens=3, eval_completions=4, batch_size=2).as_json()
    shape = ModelShape(hidden=8, blocks=2, heads=2, key_heads=1, head_size=4, inner=16, vocabulary=10)
    found = forecast("dpo", config, shape, prompt=5, answer=3)
    # q 8·8, k and v 8·4, o 8·8, three of 8·16, two norms; twice; and 10·8 shared by both ends.
    assert found.weights == 4 * (2 * (64 + 32 + 32 + 64 + 3 * 128 + 16) + 80)
    assert found.optimiser == 4 * 5 * 2 * (16 + 12 + 12 + 16 + 3 * 24)  # rank 2; weights, gradients, averages, a copy
    # 16 prompts of 4 answers, 80 rows with the prompts' own, 9 places, keys and values of 4 in 2 blocks; kept states.
    assert found.cache == 80 * 9 * 2 * 2 * 4 * 4 + 2 * 64 * 3 * 8 * 4


@pytest.mark.parametrize("config", [PPOConfig(), SFTConfig(), DPOConfig()], ids=["ppo", "sft", "dpo"])
def test_parts_checkpointing_and_bfloat16_need_less(config):
    method = type(config).__name__.removesuffix("Config").lower()
    whole = forecast(method, config.as_json(), SEVEN_BILLION)
    parts = forecast(method, config.as_json() | {"micro_batch": 4}, SEVEN_BILLION)
    anew = forecast(method, config.as_json() | {"checkpointing": True}, SEVEN_BILLION)
    half = forecast(method, config.as_json(), SEVEN_BILLION, state_bytes=2)
    assert parts.activations <= whole.activations / 2
    assert anew.activations < whole.activations
    assert half.weights * 2 == whole.weights


def test_what_surely_cannot_fit_is_refused_with_what_does():
    ppo = PPOConfig().as_json()
    assert refusal("ppo", ppo, SEVEN_BILLION, 26 * GIB) == ""  # 25.1 GiB of float32 weights, and an adapter
    assert refusal("ppo", ppo, SEVEN_BILLION, 13 * GIB, state_bytes=2) == ""
    words = refusal("ppo", ppo, SEVEN_BILLION, 16 * GIB)
    assert words.startswith("weights and optimiser alone take 25.")
    assert words.endswith("are free; with PREFLOOP_PRECISION=bfloat16 they take 12.7 GiB")
    four_bit = refusal("ppo", ppo, SEVEN_BILLION, 8 * GIB)
    assert four_bit.endswith("are free; with PREFLOOP_PRECISION=4bit (needs bitsandbytes) they take 4.4 GiB")
    assert refusal("ppo", ppo, SEVEN_BILLION, 8 * GIB, four_bit=True) == ""
    assert refusal("ppo", ppo, SEVEN_BILLION, 4 * GIB).endswith("4.0 GiB of memory are free; a smaller model would fit")
    full = refusal("ppo", ppo | {"train": "full"}, SEVEN_BILLION, 40 * GIB)
    assert "; with train=lora they take 25." in full
    half = refusal("ppo", ppo | {"train": "full"}, SEVEN_BILLION, 16 * GIB)
    assert half.endswith("; with train=lora and PREFLOOP_PRECISION=bfloat16 they take 12.7 GiB")


def test_the_web_app_can_ask_without_a_tensor_library():
    program = "import sys, training.memory; sys.exit('torch' in sys.modules or 'django' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_run_that_does_not_fit_ends_before_it_starts(
    prepare: Prepare, checkpoint: Path, reward_model: Path, monkeypatch: pytest.MonkeyPatch
):
    assert read_shape(checkpoint) is not None
    monkeypatch.setattr(fits, "available_memory", lambda device: 1000)
    inputs = {"policy": str(checkpoint), "reward_model": str(reward_model)}
    run = prepare("large", "ppo", SETTINGS, inputs, prompt_rows(4))
    with pytest.raises(RecipeError, match="The run does not fit: weights and optimiser alone take "):
        finish(run)
    assert not run.metrics_path.exists()


def test_the_forecast_stands_in_the_result_beside_the_peak(prepare: Prepare, checkpoint: Path, reward_model: Path):
    inputs = {"policy": str(checkpoint), "reward_model": str(reward_model)}
    run = prepare("small", "ppo", SETTINGS | {"episodes": 32, "eval_completions": 1}, inputs, prompt_rows(4))
    result = finish(run)
    assert (
        result["memory_forecast_mb"]
        == forecast("ppo", PPOConfig(**run.config()["settings"]).as_json(), read_shape(checkpoint)).as_json()["total"]
    )


def test_memory_that_is_free_is_less_than_the_machines_own():
    import torch

    assert 1024**2 < available_memory(torch.device("cpu")) < 1 << 50


FREED = """
from training.recipes.process.resources import give_back_large_blocks
def resident(): return int(open("/proc/self/statm").read().split()[1]) * 4096
give_back_large_blocks()
bytearray(b"x" * 2**24)  # glibc raises its own limit to the largest block that was freed
before = resident()
blocks = [bytearray(b"x" * 2**24) for _ in range(16)]
full = resident() - before
del blocks[::2]
print((resident() - before) / full)
"""


def test_large_blocks_go_back_to_the_system_though_others_lie_between_them():
    said = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True).stdout
    assert float(said) < 0.75
