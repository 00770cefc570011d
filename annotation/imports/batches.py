"""Files of any length, some thousand rows at a time: for the command, which need not hold a file in memory."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

from annotation.imports import ParsedPrompts, parse_prompts, parse_rows
from annotation.imports.reading import RawRow, read_rows
from annotation.imports.refusals import RefusedRow, UnreadableFile

ROWS_AT_ONCE = 2000
MAX_LINE_BYTES = 10 * 2**20
LINES = (".jsonl", ".ndjson", ".txt")


def parse_batches(
    path: Path, mapping: Mapping[str, str] | None = None, *, labels: bool = False
) -> Iterator[ParsedPrompts]:
    """The rows of a file, each batch on its own. Lines are read as they come; other files as a whole."""
    name = path.name.removesuffix(".gz")
    if not name.endswith(LINES):
        yield parse_prompts(path.read_bytes(), path.name, mapping, labels=labels)
        return
    check_lines(path)
    batch: list[bytes] = []
    first = 1
    with _opened(path) as file:
        for number, line in enumerate(_lines(file), start=1):
            batch.append(line)
            if len(batch) == ROWS_AT_ONCE:
                yield _parsed(batch, first, name, mapping, labels=labels)
                batch, first = [], number + 1
    if batch:
        yield _parsed(batch, first, name, mapping, labels=labels)


def check_lines(path: Path) -> None:
    """Refuse a file that is no UTF-8 before its first row is taken, so that nothing of it is."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _opened(path) as file:
        number = 0
        for number, line in enumerate(_lines(file), start=1):
            if len(line) > MAX_LINE_BYTES:
                raise UnreadableFile(f"Line {number} is longer than {MAX_LINE_BYTES // 2**20} MB.")
            try:
                decoder.decode(line, final=True)
            except UnicodeDecodeError:
                raise UnreadableFile(f"Line {number} is not valid UTF-8. Save the file as UTF-8.") from None
        if not number:
            raise UnreadableFile("The file is empty. Choose a file that holds at least one prompt.")


def _parsed(
    lines: list[bytes], first: int, name: str, mapping: Mapping[str, str] | None, *, labels: bool
) -> ParsedPrompts:
    content = b"".join(lines)
    if not content.strip():
        return ParsedPrompts(rows=[], refused=[])
    return parse_rows(_moved(read_rows(content, name, mapping), first - 1), labels=labels)


def _moved(rows: Iterator[RawRow | RefusedRow], by: int) -> Iterator[RawRow | RefusedRow]:
    for row in rows:
        yield RawRow(row.line + by, row.fields) if isinstance(row, RawRow) else RefusedRow(row.line + by, row.reason)


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES + 1):
        yield line
