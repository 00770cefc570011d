"""A run's metrics, also to TensorBoard, trackio or Weights & Biases: PREFLOOP_REPORT_TO names one or more of them.

metrics.jsonl stays what pages and resumption go by. Names of figures and steps are those of docs/metrics.md. A run that
was killed and resumed goes on in the same place, and writes the steps after its last state once more.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.recipes.process.errors import RecipeError
from training.rundir import RunDir

VARIABLE = "PREFLOOP_REPORT_TO"
PACKAGES = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb"}
Log = Callable[[int, dict[str, float]], None]


def attach(run: RunDir) -> None:
    """Send every later row of metrics to the configured trackers, too. Raises RecipeError."""
    if int(os.environ.get("RANK", "0")) != 0:
        return
    for name in filter(None, (part.strip() for part in os.environ.get(VARIABLE, "").split(","))):
        if name not in PACKAGES:
            raise RecipeError(f"{VARIABLE} names {name}; there are {', '.join(PACKAGES)}")
        if importlib.util.find_spec(PACKAGES[name]) is None:
            raise RecipeError(f"{VARIABLE} names {name}, which is not installed: pip install {PACKAGES[name]}")
        run.listeners.append(TRACKERS[name](run))


def _tensorboard(run: RunDir) -> Log:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run.path / "tensorboard"))

    def log(step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return log


def _trackio(run: RunDir) -> Log:
    import trackio

    trackio.init(project="prefloop", name=_name(run), config=run.config().get("settings", {}), resume="allow")
    return lambda step, values: trackio.log(values, step=step)


def _wandb(run: RunDir) -> Log:
    import wandb

    tracked = wandb.init(
        project=os.environ.get("WANDB_PROJECT", "prefloop"),
        name=_name(run),
        id=_name(run),
        resume="allow",
        config=run.config().get("settings", {}),
        dir=str(run.path),
    )
    return lambda step, values: tracked.log(values, step=step)


def _name(run: RunDir) -> str:
    return f"{run.config().get('method', 'run')}-{Path(run.path).name}"


TRACKERS: dict[str, Callable[[RunDir], Any]] = {"tensorboard": _tensorboard, "trackio": _trackio, "wandb": _wandb}
