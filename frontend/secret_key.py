"""The key that signs sessions, made at its first use."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from annotation.durable import sync


def read_or_make(path: Path) -> str:
    """Return the key in the file; where there is none, make one that its owner alone can read.

    Raises ImproperlyConfigured where the file is empty, or can be neither read nor made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        whole = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            with os.fdopen(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(50))
            sync(whole)
            os.link(whole, path)  # whole, or not there; of two processes one makes it
            sync(path.parent)
        finally:
            whole.unlink(missing_ok=True)
    except FileExistsError:
        pass
    except OSError as why:
        raise ImproperlyConfigured(
            f"The secret key cannot be kept in {path} ({why.strerror}). Set PREFLOOP_HOME to a folder that can be "
            "written, or PREFLOOP_SECRET_KEY."
        ) from why
    if key := path.read_text().strip():
        return key
    raise ImproperlyConfigured(f"{path} is empty. Delete it: a new key is made, and everybody signs in again.")
