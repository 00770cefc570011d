"""Folders and files that are whole or not there, and paths that config.json names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from annotation.durable import make_folder, put_folder_in_place, put_in_place, sync_below
from training.recipes.process.errors import RecipeError
from training.rundir import Row, RunDir


def replace_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Let `write(folder)` fill a folder, and put it in the place of `target` only when it is whole."""
    fresh = RunDir(target.parent).beside(target)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    write(fresh)
    sync_below(fresh)  # before what was there goes
    _check_writer(target)
    shutil.rmtree(target, ignore_errors=True)
    put_folder_in_place(fresh, target)


def replace_file(target: Path, write: Callable[[Path], object]) -> None:
    """Let `write(path)` write a file, and put it in the place of `target` only when it is whole."""
    make_folder(target.parent)
    fresh = RunDir(target.parent).beside(target)
    write(fresh)
    _check_writer(target)
    put_in_place(fresh, target)


def _check_writer(target: Path) -> None:
    """Raise TakenOver where `target` lies in a run directory into which another attempt writes now."""
    for folder in list(target.parents)[:2]:
        RunDir(folder).check_writer()


def required_path(inputs: Row, name: str) -> str:
    path: Any = inputs.get(name)
    if not path:
        raise RecipeError(f"config.json names no inputs.{name}")
    return str(path)
