"""Rows that are parts of one conversation, put together on disk: they may stand anywhere in a file of any length."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from annotation.imports.raw import RawRow
from annotation.imports.refusals import RefusedRow

PAGES_KB = 8000  # of SQLite, in memory


def together(
    rows: Iterable[RawRow | RefusedRow], key_of: Callable[[dict[str, Any]], str], size: int
) -> Iterator[list[RawRow | RefusedRow]]:
    """Yield lists of about `size` rows: those of one key are in one list, in the order of the first row of each.

    A row without a key stands for itself. Refused rows come as soon as there are `size` of them, or at the end.
    """
    refused: list[RawRow | RefusedRow] = []
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder) / "rows.sqlite3")) as store:
        store.executescript(
            f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE; PRAGMA cache_size=-{PAGES_KB};"
            "CREATE TABLE rows (n INTEGER PRIMARY KEY, key TEXT, line INTEGER, file TEXT, data TEXT)"
        )
        number = 0
        for number, row in enumerate(rows):
            if isinstance(row, RefusedRow):
                refused.append(row)
            else:
                values = (number, key_of(row.fields) or f"row {number}", row.line, row.file, json.dumps(row.fields))
                store.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", values)
            if len(refused) >= size:
                yield refused
                refused = []
        if refused:
            yield refused
        store.executescript(
            "CREATE INDEX by_key ON rows (key, n);"
            "CREATE TABLE firsts AS SELECT key, min(n) AS n FROM rows GROUP BY key;"
        )
        found: list[RawRow | RefusedRow] = []
        for (key,) in store.execute("SELECT key FROM firsts ORDER BY n"):
            of_key = store.execute("SELECT line, file, data FROM rows WHERE key = ? ORDER BY n", (key,))
            found += [RawRow(line, json.loads(data), file) for line, file, data in of_key]
            if len(found) >= size:
                yield found
                found = []
        if found:
            yield found
