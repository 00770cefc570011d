"""Files of any length: their first rows for a preview, or some thousand rows at a time, so that none is held whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import BinaryIO

import orjson

from annotation.imports import ParsedPrompts, Reading, mappings, parse_rows
from annotation.imports.fields import Fields
from annotation.imports.gathering import together
from annotation.imports.packed import members
from annotation.imports.raw import RawRow
from annotation.imports.reading import EMPTY, MAX_FILE_BYTES, MAX_ROWS, STREAMED, read_rows
from annotation.imports.refusals import EmptyFile, RefusedRow, UnreadableFile
from annotation.imports.shapes import PLAIN, SHAPES, Shape, shape_of
from annotation.imports.spellings import in_one_spelling
from annotation.imports.text import FileText

ROWS_AT_ONCE = 500  # one transaction of the command: others who write wait for it
FIRST_ROWS = 10_000  # of a file that a page shows before it is taken,
FIRST_BYTES = 10 * 2**20  # or so much of it
LINES = (".jsonl", ".ndjson", ".txt")


def parse_batches(file: BinaryIO, filename: str, reading: Reading | None = None) -> Iterator[ParsedPrompts]:
    """Yield the rows of a file, each batch on its own. Rows of one conversation are put together."""
    reading = (reading or Reading()).checked()
    rows = read_rows(file, filename, mappings.columns_named(reading.mapping), STREAMED)
    first = next(rows, None)
    if first is None:
        return
    rows = chain([first], rows)
    if shape := _conversations(first, reading):
        if shape.key and isinstance(first, RawRow) and shape.key(first.fields):
            yield from (parse_rows(some, reading) for some in together(rows, shape.key, ROWS_AT_ONCE))
        else:
            yield parse_rows(_few(rows), reading)
        return
    before = PLAIN
    while some := list(islice(rows, ROWS_AT_ONCE)):
        parsed = parse_rows(some, reading, before=before)
        before = next(reversed(parsed.shapes), before)
        yield parsed


def parse_first(file: BinaryIO, filename: str, reading: Reading) -> ParsedPrompts:
    """Return the first rows of a file, and in `count["more"]` whether it has further ones."""
    reading = reading.checked()
    rows = read_rows(file, filename, mappings.columns_named(reading.mapping), STREAMED)
    first = next(rows, None)
    if first is None:
        return ParsedPrompts(rows=[], refused=[])
    rows = chain([first], rows)
    shape = _conversations(first, reading)
    if shape and not (shape.key and isinstance(first, RawRow) and shape.key(first.fields)):
        return parse_rows(_few(rows), reading)
    some = list(_beginning(rows))
    parsed = parse_rows(some, reading)
    parsed.count["more"] = int(next(rows, None) is not None)
    return parsed


def check_file(file: BinaryIO, filename: str, reading: Reading) -> None:
    """Raise UnreadableFile for a file that cannot be read to its end, before its first row is taken."""
    for member in members(file, filename, STREAMED.bytes):
        if member.name.lower().endswith(LINES):
            text = FileText(member.file)
            if text.is_blank() and not member.label:
                raise EmptyFile(EMPTY)
            for _ in text.lines():
                pass
        else:
            file.seek(0)
            for _ in read_rows(file, filename, mappings.columns_named(reading.mapping), STREAMED):
                pass
            break
    file.seek(0)


def _beginning(rows: Iterator[RawRow | RefusedRow]) -> Iterator[RawRow | RefusedRow]:
    left = FIRST_BYTES
    for row in islice(rows, FIRST_ROWS):
        yield row
        if isinstance(row, RawRow):
            left -= len(orjson.dumps(row.fields, default=str, option=orjson.OPT_NON_STR_KEYS))
        if left < 0:
            return


def _conversations(first: RawRow | RefusedRow, reading: Reading) -> Shape | None:
    """Return the shape of a file whose rows are parts of conversations; None for any other file."""
    if isinstance(first, RefusedRow) or reading.mapping:
        return None
    shape = SHAPES[reading.shape or shape_of(Fields(in_one_spelling(first.fields)[0]))]
    return shape if shape.gather else None


def _few(rows: Iterable[RawRow | RefusedRow]) -> Iterator[RawRow | RefusedRow]:
    """Yield rows that are kept in memory together. Raises UnreadableFile where they are too many."""
    left = MAX_FILE_BYTES
    for number, row in enumerate(rows, start=1):
        if isinstance(row, RawRow):
            left -= len(orjson.dumps(row.fields, default=str, option=orjson.OPT_NON_STR_KEYS))
        if number > MAX_ROWS or left < 0:
            raise UnreadableFile(
                f"Each row of the file is one message, and none says of which conversation (message_tree_id), so they "
                f"are put together in memory: at most {MAX_ROWS:,} rows and {MAX_FILE_BYTES // 2**20} MB. "
                "Split the file between two conversations."
            )
        yield row
