"""The number format in which a run computes: float32, or bfloat16 where the machine is faster with it.

PREFLOOP_PRECISION names one (float32, bfloat16) or leaves it to the machine (auto, the default). Only frozen weights
and what flows through them are bfloat16; adapters, heads, log-probabilities and the optimiser stay float32. A run whose
weights all learn is float32: a step of its learning rate is smaller than what bfloat16 can tell apart.

PREFLOOP_PRECISION=4bit keeps the frozen linear layers in NF4 (QLoRA, Dettmers et al. 2023, arXiv 2305.14314) and
computes in the format that auto takes. bitsandbytes does it, where it is installed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from training.recipes.process.errors import RecipeError
from training.recipes.process.log import logger
from training.rundir import RunDir

VARIABLE = "PREFLOOP_PRECISION"
FILE = "precision.txt"  # in the run directory: a resumed run goes on in the same one
NAMES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
FOUR_BIT = "4bit"
WORTH_IT = 1.5  # times faster that bfloat16 must be on a processor: clear of what a busy machine makes of a measurement
CHECKED_AS_FLOAT32 = 2_000_000_000  # parameters of a model that is checked in float32, whatever it computes in


class Precision(NamedTuple):
    """The number format of a run, and whether its frozen linear layers are kept in four bits."""

    dtype: torch.dtype = torch.float32
    four_bit: bool = False

    def __str__(self) -> str:
        return f"{FOUR_BIT}-" * self.four_bit + str(self.dtype).removeprefix("torch.")


_current = Precision()


def current() -> torch.dtype:
    """Return the format of the run in this process; float32 outside of runs."""
    return _current.dtype


@contextmanager
def of_run(run: RunDir, device: torch.device, *, learns_whole: bool) -> Iterator[Precision]:
    """Compute in the format that suits machine and run, the same one in each of its attempts. Raises RecipeError."""
    path = run.path / FILE
    named = path.read_text("utf-8").strip() if path.exists() else ""
    known = {str(each): each for dtype in NAMES.values() for each in (Precision(dtype), Precision(dtype, True))}
    found = known.get(named) or choose(device, learns_whole=learns_whole)
    if int(os.environ.get("RANK", "0")) == 0:
        path.write_text(str(found), "utf-8")
    logger.info("Precision: %s", found)
    with using(*found):
        yield found


@contextmanager
def using(dtype: torch.dtype, four_bit: bool = False) -> Iterator[None]:
    """Load models in this format meanwhile."""
    global _current
    before, _current = _current, Precision(dtype, four_bit)
    try:
        yield
    finally:
        _current = before


def loading(device: torch.device) -> dict[str, Any]:
    """Return the options of `from_pretrained` that make a frozen model in the run's format."""
    if not _current.four_bit:
        return {"dtype": current()}
    from transformers import BitsAndBytesConfig

    four_bit = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=current(),
    )
    return {"dtype": current(), "quantization_config": four_bit, "device_map": {"": device}}


def hide_four_bits(model: Any) -> None:
    """Let a model with layers in four bits pass for one with frozen layers, which is all that they are here.

    TRL and PEFT would narrow the adapters to bfloat16. On processors with bfloat16 instructions, bitsandbytes would
    store the weights in another way at the first reading without gradients, and read them with other results after it.
    """
    model.is_quantized = model.is_loaded_in_4bit = False
    for layer in _four_bit_layers(model):
        layer.support_avx512bf16_for_cpu = False


def _four_bit_layers(model: nn.Module) -> list[Any]:
    return [each for each in model.modules() if type(each).__name__ == "Linear4bit"]


def choose(device: torch.device, *, learns_whole: bool = False) -> Precision:
    """Return the format that PREFLOOP_PRECISION asks for, or the machine is best with. Raises RecipeError."""
    wanted = os.environ.get(VARIABLE, "auto").strip().lower() or "auto"
    if wanted not in ("auto", *NAMES, FOUR_BIT):
        raise RecipeError(f"{VARIABLE} is {wanted!r}; it may be auto, {', '.join(NAMES)} or {FOUR_BIT}")
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32 for what stays float32
    if learns_whole:
        return Precision()
    if wanted in NAMES:
        return Precision(NAMES[wanted])
    four_bit = wanted == FOUR_BIT
    if four_bit and find_spec("bitsandbytes") is None:
        raise RecipeError(
            f'{VARIABLE} is {FOUR_BIT}, for which bitsandbytes is not installed: pip install "prefloop[qlora]"'
        )
    return Precision(torch.bfloat16 if _is_faster_in_bfloat16(device) else torch.float32, four_bit)


def _is_faster_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and has_instructions() and speed_up() >= WORTH_IT


def has_instructions() -> bool:
    """Return whether this processor has bfloat16 instructions (AVX512-BF16 or AMX); without, it is very slow."""
    asked: tuple[Callable[[], bool] | None, ...] = (
        getattr(torch.cpu, "_is_avx512_bf16_supported", None),
        getattr(torch.cpu, "_is_amx_tile_supported", None),
    )
    return any(ask is not None and ask() for ask in asked)


def speed_up(rows: int = 128, width: int = 1024, times: int = 9) -> float:
    """Return how many times less processor time a matrix product takes in bfloat16 than in float32.

    Medians of turns about, after one of each that is not counted: what else runs on the machine meets both alike.
    """
    factors = [
        (torch.ones(rows, width, dtype=dtype), torch.ones(width, width, dtype=dtype)) for dtype in NAMES.values()
    ]
    turns = [[_seconds(*pair) for pair in factors] for _ in range(times + 1)]
    float32, bfloat16 = (median(column) for column in zip(*turns[1:], strict=True))
    return float32 / max(bfloat16, 1e-9)


def _seconds(states: Tensor, weight: Tensor) -> float:
    began = time.process_time()
    torch.matmul(states, weight)
    return time.process_time() - began


def tolerance(float32: float, bfloat16: float) -> float:
    """Return how far two ways of computing one number may be apart in the run's format."""
    return bfloat16 if current() == torch.bfloat16 else float32


@contextmanager
def checked_in_float32(model: nn.Module) -> Iterator[None]:
    """Widen the weights while a model is checked, so that two ways agree to many digits; large ones stay.

    bfloat16 widened and narrowed again is the same number. Buffers, rotary frequencies for one, are not touched.
    """
    narrow = [parameter for parameter in model.parameters() if parameter.dtype == torch.bfloat16]
    if sum(parameter.numel() for parameter in narrow) > CHECKED_AS_FLOAT32:
        narrow = []
    layers = _four_bit_layers(model) if narrow else []
    for parameter in narrow:
        parameter.data = parameter.data.float()
    for layer in layers:
        layer.compute_dtype = torch.float32
    try:
        yield
    finally:
        for parameter in narrow:
            parameter.data = parameter.data.bfloat16()
        for layer in layers:
            layer.compute_dtype = torch.bfloat16
