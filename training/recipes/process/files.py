"""Folders and files that are whole or not there, and paths that config.json names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from annotation.durable import make_folder, put_folder_in_place, put_in_place, sync_below
from training.recipes.process.errors import RecipeError
from training.rundir import Row


def replace_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Let `write(folder)` fill a folder, and put it in the place of `target` only when it is whole."""
    fresh = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    write(fresh)
    sync_below(fresh)  # before what was there goes
    shutil.rmtree(target, ignore_errors=True)
    put_folder_in_place(fresh, target)


def replace_file(target: Path, write: Callable[[Path], object]) -> None:
    """Let `write(path)` write a file, and put it in the place of `target` only when it is whole."""
    make_folder(target.parent)
    fresh = target.with_name(f"{target.name}.tmp")
    write(fresh)
    put_in_place(fresh, target)


def required_path(inputs: Row, name: str) -> str:
    path: Any = inputs.get(name)
    if not path:
        raise RecipeError(f"config.json names no inputs.{name}")
    return str(path)
