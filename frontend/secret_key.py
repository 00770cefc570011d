"""The key that signs sessions, made at its first use."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def read_or_make(path: Path) -> str:
    """Return the key in the file; where there is none, make one that its owner alone can read.

    Raises ImproperlyConfigured where the file is empty, or can be neither read nor made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    except OSError as why:
        raise ImproperlyConfigured(
            f"The secret key cannot be kept in {path} ({why.strerror}). Set PREFLOOP_HOME to a folder that can be "
            "written, or PREFLOOP_SECRET_KEY."
        ) from why
    for _ in range(20):  # another process may have made the file and be about to write
        if key := path.read_text().strip():
            return key
        time.sleep(0.1)
    raise ImproperlyConfigured(f"{path} is empty. Delete it: a new key is made, and everybody signs in again.")
