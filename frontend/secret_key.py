"""The key that signs sessions, made at its first use."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from annotation.durable import sync


def read_or_make(path: Path) -> str:
    """Return the key in the file; where there is none, make one that its owner alone can read.

    Raises ImproperlyConfigured where the file is empty, or can be neither read nor made.
    """
    try:
        if not path.exists():
            _make(path)
    except OSError as why:
        raise ImproperlyConfigured(
            f"The secret key cannot be kept in {path} ({why.strerror}). Set PREFLOOP_HOME to a folder that can be "
            "written, or PREFLOOP_SECRET_KEY."
        ) from why
    if key := path.read_text().strip():
        return key
    raise ImproperlyConfigured(f"{path} is empty. Delete it: a new key is made, and everybody signs in again.")


def _make(path: Path) -> None:
    """Write a new key under a name that no other thread or process uses, then link it to its place.

    So the file is whole or not there, and of several that make one at once, one wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".tmp", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(50))
        sync(Path(name))
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
        sync(path.parent)
    finally:
        os.unlink(name)
