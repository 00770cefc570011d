"""A whole model out of an adapter and its base: `python -m training.recipes.package CHECKPOINT TARGET`."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

import torch

from annotation.durable import put_folder_in_place
from training.recipes.process import checkpoints
from training.recipes.process.errors import RecipeError

logger = logging.getLogger(__name__)


def package(checkpoint: Path, target: Path) -> None:
    """Write model and tokenizer as safetensors to `target`, which is there only when it is whole."""
    policy = checkpoints.resolve(checkpoint)
    model, tokenizer = checkpoints.load_base(policy.base, torch.device("cpu"), merged=policy.adapter)
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        model.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        put_folder_in_place(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


if __name__ == "__main__":
    try:
        package(Path(sys.argv[1]), Path(sys.argv[2]))
    except (RecipeError, OSError) as problem:
        sys.exit(f"error: {problem}")
