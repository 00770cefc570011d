"""Files that survive a loss of power: what was renamed into place is on the disk, and so is its name.

A rename is atomic for readers, but after a loss of power the file may be empty, or the old one, unless the file was
synced before and its folder after. Standard library only, as recipes use it.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

NO_SYNC_OF_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)


def make_folder(folder: Path) -> None:
    """Make a folder and the ones above it where they are missing, for good once this returns."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in reversed(missing):
        sync(each.parent)


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
    """Have a file, or the names in a folder, written to the disk. Raises OSError where that fails."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as why:
        if not path.is_dir() or why.errno not in NO_SYNC_OF_FOLDERS:  # some file systems take no fsync of a folder
            raise
    finally:
        os.close(descriptor)
