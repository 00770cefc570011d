"""Files of any length, some thousand rows at a time: for the command, which need not hold a file in memory."""

from __future__ import annotations

import codecs
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from annotation.imports import ParsedPrompts, Reading, mappings, parse_rows
from annotation.imports.fields import Fields
from annotation.imports.raw import RawRow
from annotation.imports.reading import read_rows
from annotation.imports.refusals import RefusedRow, UnreadableFile
from annotation.imports.shapes import PLAIN, SHAPES, shape_of

ROWS_AT_ONCE = 2000
MAX_LINE_BYTES = 10 * 2**20
LINES = (".jsonl", ".ndjson", ".txt")


def parse_batches(path: Path, reading: Reading | None = None) -> Iterator[ParsedPrompts]:
    """Yield the rows of a file, each batch on its own. Lines are read as they come; other files as a whole."""
    reading = (reading or Reading()).checked()
    name = path.name.removesuffix(".gz")
    columns = mappings.columns_named(reading.mapping)
    if not name.endswith(LINES) or _belongs_together(path, reading):
        yield parse_rows(read_rows(path.read_bytes(), path.name, columns), reading)
        return
    _check_lines(path)
    batch: list[bytes] = []
    first, before = 1, PLAIN
    with _opened(path) as file:
        for number, line in enumerate(_lines(file), start=1):
            batch.append(line)
            if len(batch) == ROWS_AT_ONCE:
                parsed = _parsed(batch, first, name, reading, before)
                before = next(reversed(parsed.shapes), before)
                yield parsed
                batch, first = [], number + 1
    if batch:
        yield _parsed(batch, first, name, reading, before)


def check_file(path: Path, reading: Reading) -> None:
    """Raise UnreadableFile for a file that cannot be read to its end, before its first row is taken."""
    name = path.name.removesuffix(".gz")
    if name.endswith(LINES):
        _check_lines(path)
    else:
        for _ in read_rows(path.read_bytes(), path.name, mappings.columns_named(reading.mapping)):
            pass


def _check_lines(path: Path) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _opened(path) as file:
        number = 0
        try:
            for number, line in enumerate(_lines(file), start=1):
                if len(line) > MAX_LINE_BYTES:
                    raise UnreadableFile(f"Line {number} is longer than {MAX_LINE_BYTES // 2**20} MB.")
                try:
                    decoder.decode(line, final=True)
                except UnicodeDecodeError:
                    raise UnreadableFile(f"Line {number} is not valid UTF-8. Save the file as UTF-8.") from None
        except (gzip.BadGzipFile, EOFError):
            raise UnreadableFile("The file ends in .gz but is not whole gzip. Pack it again.") from None
        if not number:
            raise UnreadableFile("The file is empty. Choose a file that holds at least one prompt.")


def _belongs_together(path: Path, reading: Reading) -> bool:
    """Return whether rows of a file are parts of conversations, so that it must be read at once."""
    if reading.mapping or path.name.removesuffix(".gz").endswith(".txt"):
        return False
    try:
        with _opened(path) as file:
            first = json.loads(file.readline(MAX_LINE_BYTES))
    except (ValueError, OSError, EOFError, RecursionError):
        return False
    return isinstance(first, dict) and SHAPES[reading.shape or shape_of(Fields(first))].gather is not None


def _parsed(lines: list[bytes], first: int, name: str, reading: Reading, before: str) -> ParsedPrompts:
    content = b"".join(lines)
    if not content.strip():
        return ParsedPrompts(rows=[], refused=[])
    return parse_rows(_moved(read_rows(content, name), first - 1), reading, before=before)


def _moved(rows: Iterator[RawRow | RefusedRow], by: int) -> Iterator[RawRow | RefusedRow]:
    for row in rows:
        yield RawRow(row.line + by, row.fields) if isinstance(row, RawRow) else RefusedRow(row.line + by, row.reason)


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES + 1):
        yield line
