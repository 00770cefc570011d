"""Reads the small files that pass between machines, which the writer replaces while others read them.

Standard library and plain text only: recipes and the jobs of engines import it.
"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from annotation.plain_text import cleaned_text

_Read = TypeVar("_Read")
# NFS says ESTALE of a file that another machine has replaced since this one looked its name up: the next look finds
# the new one.
WAITS_SECONDS = (0.0, 0.05, 0.2, 0.5, 1.0)


def read_again(read: Callable[[], _Read]) -> _Read:
    """Return what `read` returns, called again while a network file system calls the file stale. Raises OSError."""
    for seconds in WAITS_SECONDS:
        try:
            return read()
        except OSError as problem:
            if problem.errno != errno.ESTALE:
                raise
            time.sleep(seconds)
    return read()


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object of a file, None where there is none. Raises TypeError where it holds another value."""
    try:
        value = json.loads(read_again(lambda: path.read_text("utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not isinstance(value, dict):
        raise TypeError(f"{path} should hold a JSON object, not {type(value).__name__}")
    return value


def read_tail(path: Path, characters: int) -> str:
    """Return the end of a text file, never reading the whole; empty where it cannot be read."""
    try:
        end = read_again(lambda: _last_bytes(path, 4 * characters))  # UTF-8 has up to 4 bytes for a character
    except OSError:
        return ""
    return cleaned_text(end.decode("utf-8", errors="replace"))[-characters:]


def _last_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - count))
        return file.read()
