"""From a file to raw rows: fields by name, each with the line it starts on. Files are read piece by piece.

Only when no row can be trusted (wrong encoding, no header, a broken JSON list) is the whole file refused.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Set
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import BinaryIO

from django.utils.translation import gettext_noop

from annotation.imports.json_rows import read_json, read_json_lines
from annotation.imports.packed import DataFile, FileLimits, members, seekable, too_large
from annotation.imports.parquet import read_parquet
from annotation.imports.raw import RawRow
from annotation.imports.refusals import EmptyFile, RefusedRow, UnreadableFile
from annotation.imports.tables import DELIMITERS, drop_separator, header_of, read_table
from annotation.imports.text import FileText

MAX_FILE_BYTES = 50 * 2**20
MAX_ROWS = 500_000  # 50 MB of one-letter lines would keep a web request busy for minutes
MAX_VALUES = 10_000_000  # of a Parquet file; empty ones take next to no bytes there, and eight each once they are read
LARGEST_FILE = 2**30  # that is read piece by piece; what servers take is set beside it, in frontend/serving/limits.py
EMPTY = "The file is empty. Choose a file that holds at least one prompt."
NO_ROWS = gettext_noop("the file holds no rows; the others are read")
SPREADSHEETS = ("xlsx", "xls", "xlsm", "ods", "numbers")
COLUMNS_FROM = 100  # rows whose fields are the columns of a file

_Reader = Callable[[FileText], Iterator[RawRow | RefusedRow]]


STREAMED = FileLimits(4 * LARGEST_FILE, 10_000_000, 200_000_000)  # of a file of which only a piece is in memory


def read_rows(
    data: bytes | BinaryIO, filename: str, columns: Set[str] = frozenset(), limits: FileLimits | None = None
) -> Iterator[RawRow | RefusedRow]:
    """Yield the rows in `data`; the extension of `filename` says how. `columns` are those that a person named.

    Without other limits those for files whose rows are kept in memory hold.
    """
    limits = limits or FileLimits(MAX_FILE_BYTES, MAX_ROWS, MAX_VALUES)
    if isinstance(data, bytes):
        if len(data) > MAX_FILE_BYTES:
            raise UnreadableFile(too_large(MAX_FILE_BYTES))
        data = io.BytesIO(data)
    count = used = 0
    for member in members(data, filename, limits.bytes):
        for found in _rows_of(member, columns, limits):
            count += 1
            if count > limits.rows:
                raise UnreadableFile(f"The file has more than {limits.rows:,} rows. Split it into smaller files.")
            used += not _is_empty(found)
            yield found
    if not used:
        raise UnreadableFile("The file holds no rows. Choose a file that holds at least one prompt.")


def _is_empty(found: RawRow | RefusedRow) -> bool:
    """Return whether this says that a file of an archive holds no rows."""
    return isinstance(found, RefusedRow) and found.reason.endswith(NO_ROWS)


def _rows_of(member: DataFile, columns: Set[str], limits: FileLimits) -> Iterator[RawRow | RefusedRow]:
    """Yield the rows of one data file; of several in an archive, each row and each problem names its file.

    An empty one of several is refused as a row, so that it is named and the others are taken.
    """
    if not member.label:
        yield from _read(member, columns, limits)
        return
    count = 0
    try:
        for found in _read(member, columns, limits):
            count += 1
            if isinstance(found, RawRow):
                yield replace(found, file=member.label)
            else:
                yield RefusedRow(found.line, f"{member.label}: {found.reason}")
    except EmptyFile:
        pass
    except UnreadableFile as problem:
        raise type(problem)(f"{member.label}: {problem}") from None
    if not count:
        yield RefusedRow(1, f"{member.label}: {NO_ROWS}")


def _read(member: DataFile, columns: Set[str], limits: FileLimits) -> Iterator[RawRow | RefusedRow]:
    if member.name.lower().endswith(".parquet"):
        with seekable(member.file) as whole:
            yield from read_parquet(whole, limits)
        return
    read = _reader_for(member.name, columns)
    text = FileText(member.file)
    if text.is_blank():
        raise EmptyFile(EMPTY)
    yield from read(text)


def columns_of(data: bytes | BinaryIO, filename: str) -> list[str]:
    """Return the column names of the first rows, for the page that asks what they mean."""
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    with closing(members(file, filename, STREAMED.bytes)) as found:
        return _columns_of(next(found))


def _columns_of(member: DataFile) -> list[str]:
    if member.name.lower().endswith((".csv", ".tsv")):
        text = FileText(member.file)
        drop_separator(text)
        return [name for name in max((header_of(text.buffer, each) for each in DELIMITERS), key=len) if name]
    names: dict[str, None] = {}
    for row in islice(_read(member, frozenset(), STREAMED), COLUMNS_FROM):
        if isinstance(row, RawRow):
            names |= dict.fromkeys(row.fields)
    return list(names)[:100]


def _reader_for(filename: str, columns: Set[str]) -> _Reader:
    extension = filename.rpartition(".")[2].lower() if "." in filename else ""
    readers: dict[str, _Reader] = {
        "jsonl": read_json_lines,
        "ndjson": read_json_lines,
        "json": read_json,
        "csv": lambda text: read_table(text, ",", columns),
        "tsv": lambda text: read_table(text, "\t", columns),
        "txt": _read_plain_lines,
    }
    if extension not in readers:
        known = ", ".join(f".{each}" for each in readers)
        if extension in SPREADSHEETS:
            raise UnreadableFile(
                f'Files that end in ".{extension}" cannot be read. Use one of {known}. '
                "In the spreadsheet, save the sheet as CSV UTF-8."
            )
        if extension:
            raise UnreadableFile(f'Files that end in ".{extension}" cannot be read. Use one of {known}.')
        raise UnreadableFile(f"The file has no extension. Use one of {known}.")
    return readers[extension]


def _read_plain_lines(text: FileText) -> Iterator[RawRow | RefusedRow]:
    for line, content in enumerate(text.lines(), start=text.line):
        if content.strip():
            yield RawRow(line, {"text": content})
