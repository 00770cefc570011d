"""Django's SQLite backend; the folder of the database is made when the first connection opens, not by the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.sqlite3 import base


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Open the file, in a folder that is made where it is missing. Raises ImproperlyConfigured where it cannot."""
        folder = Path(conn_params["database"]).parent
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as why:
            raise ImproperlyConfigured(
                f"The data folder {folder} cannot be made ({why.strerror}). Set PREFLOOP_HOME to one that can."
            ) from why
        return super().get_new_connection(conn_params)
