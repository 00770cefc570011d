"""Files of the home are their owner's: it holds password hashes, secrets of webhooks, and what people wrote."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def keep_private(home: Path) -> None:
    """Let this process make files that its owner alone can read, and close the home and its database to others.

    Folders and files that an older version left open lie below the home, which nobody else can enter.
    """
    os.umask(0o077)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(PermissionError):  # the folder is another's, such as a mounted one
        home.chmod(0o700)
        for path in home.glob("db.sqlite3*"):
            path.chmod(0o600)
