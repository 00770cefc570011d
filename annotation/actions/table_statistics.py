"""What SQLite's planner knows of the prompts, which imports let grow: PostgreSQL gathers that by itself.

Without statistics SQLite assumes ten rows for a project: to look up the prompts of a batch it read all of the project.
"""

from __future__ import annotations

import logging

from django.db import OperationalError, connection

from annotation.models import Prompt

logger = logging.getLogger(__name__)

FIRST_AT = 2_000  # prompts; statistics of a small table would mislead once it is large
AGAIN_AT = 4.0  # times as many
ROWS_READ = 50_000  # of each index; by fewer a project would seem smaller than looking up a batch is dear

_known_at: dict[str, int] = {}  # prompts of which each database was asked last, in this process


def refresh() -> None:
    """Let SQLite count anew where there are many more prompts than when this process last asked."""
    if connection.vendor != "sqlite":
        return
    newest = Prompt.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    name = str(connection.settings_dict["NAME"])
    if newest < max(FIRST_AT, AGAIN_AT * _known_at.get(name, 0)):
        return
    _known_at[name] = newest
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA analysis_limit = {ROWS_READ}")
            cursor.execute(f"ANALYZE {Prompt._meta.db_table}")
    except OperationalError as problem:  # others write: the next growth asks again
        logger.warning("SQLite did not count the prompts: %s", problem)
