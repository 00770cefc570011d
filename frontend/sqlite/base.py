"""Django's SQLite backend; the folder of the database is made when the first connection opens, not by the settings.

Each connection knows the functions that the triggers of the search index call.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.sqlite3 import base

from annotation import words


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
        opened = super().get_new_connection(conn_params)
        opened.create_function("prefloop_words", 1, words.words, deterministic=True)
        opened.create_function("prefloop_words_of_messages", 1, words.words_of_messages, deterministic=True)
        return opened
