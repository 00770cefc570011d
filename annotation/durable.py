"""Files that survive a loss of power: what was renamed into place is on the disk, and so is its name.

A rename is atomic for readers, but after a loss of power the file may be empty, or the old one, unless the file was
synced before and its folder after. Standard library only, as recipes use it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def put_in_place(temporary: Path, final: Path) -> None:
    """Replace the file `final` by `temporary`, for good once this returns."""
    sync(temporary)
    temporary.replace(final)
    sync(final.parent)


def put_folder_in_place(temporary: Path, final: Path) -> None:
    """Rename a folder to a name that is free, for good once this returns."""
    sync_below(temporary)
    temporary.rename(final)
    sync(final.parent)


def sync_below(folder: Path) -> None:
    """Have every file and folder below a folder written to the disk, and the folder itself."""
    for parent, _, names in os.walk(folder):
        for name in names:
            sync(Path(parent) / name)
        sync(Path(parent))


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if path.is_dir():
            with contextlib.suppress(OSError):  # some file systems take no fsync of a folder
                os.fsync(descriptor)
        else:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
