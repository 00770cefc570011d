"""The rows of a file on disk, so that they can be parted by prompt without being in memory together."""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from annotation.imports import ParsedPrompts, PromptRow, RefusedRow, stored

PROMPT, LABEL, REFUSED = range(3)
PAGES_KB = 8000  # of SQLite, in memory
REFUSED_AT_ONCE = 2000
MOST_OF_ONE_PROMPT = 10  # times the rows of a part: of a prompt with more rows than that each part has some


class Spool:
    """Rows in a temporary database: added in the order of the file, taken in parts.

    `digest_of` names the prompt of a row; rows of one prompt come together, where the first of them stands.
    """

    def __init__(self, digest_of: Callable[[PromptRow], str]) -> None:
        self.digest_of = digest_of
        self.counters: dict[str, Counter[str]] = {name: Counter() for name in stored.COUNTERS}
        self.rows = 0
        self._folder = tempfile.TemporaryDirectory()
        self._rows = sqlite3.connect(Path(self._folder.name) / "rows.sqlite3")
        self._rows.executescript(
            f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE; PRAGMA cache_size=-{PAGES_KB};"
            "CREATE TABLE rows (n INTEGER PRIMARY KEY, kind INTEGER, prompt INTEGER, data BLOB)"
        )

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.close()
        self._folder.cleanup()

    def add(self, parsed: ParsedPrompts) -> None:
        """Add the rows of a batch."""
        new: list[tuple[int, int, bytes]] = [
            (PROMPT, int(self.digest_of(row)[:15], 16), orjson.dumps(row)) for row in parsed.rows
        ]
        new += [(LABEL, 0, orjson.dumps(label)) for label in parsed.labels]
        self.rows += len(new)
        new += [(REFUSED, 0, orjson.dumps(row)) for row in parsed.refused]
        self._rows.executemany("INSERT INTO rows (kind, prompt, data) VALUES (?, ?, ?)", new)
        for name, counter in self.counters.items():
            counter.update(getattr(parsed, name))

    def refused(self, most: int) -> list[RefusedRow]:
        """Return the first refused rows."""
        found = self._rows.execute("SELECT data FROM rows WHERE kind = ? ORDER BY n LIMIT ?", (REFUSED, most))
        return [RefusedRow(**orjson.loads(data)) for (data,) in found]

    def parts(self, size: int, behind: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield the number of rows of each part, and the part as `stored.loads` reads it.

        `behind` are rows that are done. The first part carries the counters; what was refused comes in several.
        """
        refused = self._in_parts(self._of_kind(REFUSED), REFUSED_AT_ONCE)
        given = 0
        kinds = [(PROMPT, self._prompts()), (LABEL, ((None, data) for data in self._of_kind(LABEL)))]
        for kind, rows in kinds:
            for some in _grouped(rows, size):
                if given >= behind:
                    yield len(some), self._part(kind, some, next(refused, []), first=given == 0)
                given += len(some)
        if not given:
            yield 0, self._part(PROMPT, [], next(refused, []), first=True)
        for some in refused:
            yield 0, self._part(PROMPT, [], some, first=False)

    def _part(self, kind: int, rows: list[bytes], refused: list[bytes], *, first: bool) -> bytes:
        counters = self.counters if first else {"count": Counter(rows=len(rows))}
        return stored.part(rows if kind == PROMPT else [], rows if kind == LABEL else [], refused, counters)

    def _of_kind(self, kind: int) -> Iterator[bytes]:
        for (data,) in self._rows.execute("SELECT data FROM rows WHERE kind = ? ORDER BY n", (kind,)):
            yield data

    def _in_parts(self, rows: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
        yield from _grouped(((None, data) for data in rows), size)

    def _prompts(self) -> Iterator[tuple[Any, bytes]]:
        """Yield each row with its prompt: those of one prompt together, prompts in the order of their first rows."""
        self._rows.executescript(
            f"CREATE INDEX by_prompt ON rows (kind, prompt);"
            "CREATE TABLE firsts (prompt INTEGER PRIMARY KEY, n INTEGER);"
            f"INSERT INTO firsts SELECT prompt, MIN(n) FROM rows WHERE kind = {PROMPT} GROUP BY prompt;"
            "CREATE TABLE ordered (place INTEGER PRIMARY KEY, n INTEGER);"
            "INSERT INTO ordered (n) SELECT rows.n FROM rows JOIN firsts USING (prompt) "
            f"WHERE kind = {PROMPT} ORDER BY firsts.n, rows.n"
        )
        query = "SELECT rows.prompt, rows.data FROM ordered JOIN rows ON rows.n = ordered.n ORDER BY ordered.place"
        yield from self._rows.execute(query)


def _grouped(rows: Iterator[tuple[Any, bytes]], size: int) -> Iterator[list[bytes]]:
    """Yield lists of `size` rows or some more: rows with the same name stay together, unless they are very many."""
    some: list[bytes] = []
    before: object = None
    for name, data in rows:
        if len(some) >= size and (name is None or name != before or len(some) >= MOST_OF_ONE_PROMPT * size):
            yield some
            some = []
        some.append(data)
        before = name
    if some:
        yield some
