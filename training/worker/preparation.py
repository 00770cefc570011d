"""Getting a base model ready, in a process of its own: this side has no torch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from annotation.errors import NotPossible


def checkpoint_of(model: str) -> Path:
    """Return the folder of the prepared checkpoint of a model (Hugging Face id or local path)."""
    return Path(settings.MODEL_DIR) / re.sub(r"[^\w.-]+", "--", model.strip("/"))


def prepare_model(model: str, *, say: Callable[[str], object]) -> Path:
    """Convert and cache the checkpoint of a model unless it exists; pass the process's output to `say`."""
    target = checkpoint_of(model)
    process = subprocess.Popen(
        [sys.executable, "-m", "training.recipes.prepare", model, str(target)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=settings.BASE_DIR,
        env={**os.environ, "TQDM_MININTERVAL": "5"},  # progress bars become a line every few seconds
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        say(line.rstrip())
    if process.wait() != 0:
        raise NotPossible(f"{model} could not be prepared: {lines[-1] if lines else 'no output'}")
    return target
