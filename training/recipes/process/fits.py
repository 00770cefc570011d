"""Whether a run fits into memory, before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from training.memory import forecast, read_shape, refusal
from training.methods import MethodConfig
from training.recipes.process import checkpoints
from training.recipes.process.errors import RecipeError
from training.recipes.process.log import logger
from training.recipes.process.precision import Precision
from training.recipes.process.resources import available_memory
from training.rundir import RunDir


def refuse_what_cannot_fit(
    run: RunDir, config: MethodConfig, device: torch.device, format: Precision
) -> dict[str, int] | None:
    """Return the forecast of memory in MiB by part; None where the model's shape is not known.

    Raises RecipeError, with what would fit, where weights and optimiser alone are more than the free memory.
    """
    given = run.config()
    inputs = given.get("inputs", {})
    path = inputs.get("base_model") if given.get("method") == "reward" else inputs.get("policy")
    if not path or not Path(path).is_dir():  # the recipe says what is wrong with it
        return None
    shape = read_shape(checkpoints.resolve(path).base)
    if shape is None:
        return None
    settings = config.as_json()
    method = str(given.get("method"))
    how: dict[str, Any] = {"state_bytes": torch.finfo(format.dtype).bits // 8, "four_bit": format.four_bit}
    how["device"] = device.type
    if problem := refusal(method, settings, shape, available_memory(device), **how):
        raise RecipeError(f"The run does not fit: {problem}")
    found = forecast(method, settings, shape, **how).as_json()
    logger.info("Memory, forecast with the longest texts that the settings allow: %s MiB", found)
    return found
