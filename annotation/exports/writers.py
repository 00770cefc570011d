"""Rows as JSONL, CSV or Parquet, plain or gzipped; memory stays flat. The same rows give the same bytes."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, BinaryIO

import orjson

from annotation.exports.context import SnapshotRow

ROWS_AT_ONCE = 2000
MEDIA_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
# Rows that can be asked for again: Parquet needs to see them all before it writes the first.
Rows = Callable[[], Iterator[SnapshotRow]]


class NoParquet(RuntimeError):
    """Raised where pyarrow is not installed."""


def json_line(row: SnapshotRow) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


class ListItems:
    """Which lists of the rows so far had items: readers take the type of a column from the first 10 MB of a file.

    A row that has items in a list that was empty before belongs to the beginning of its file.
    """

    def __init__(self) -> None:
        self.empty: set[str] = set()
        self.known: set[str] = set()

    def come_with(self, row: SnapshotRow) -> bool:
        """Return whether a list has its first items in this row, and was empty in a row before."""
        before, found = set(self.empty), set[str]()
        self._look(row, "", found)
        self.known |= found
        self.empty -= found
        return not before.isdisjoint(found)

    def _look(self, value: Any, path: str, found: set[str]) -> None:
        if isinstance(value, dict):
            for name, each in value.items():
                if isinstance(each, (dict, list)):
                    self._look(each, f"{path}.{name}", found)
        elif value:
            found.add(path)
            for each in value:
                if isinstance(each, (dict, list)):
                    self._look(each, path, found)
        elif path not in self.known:
            self.empty.add(path)


def write_jsonl(rows: Rows, file: BinaryIO) -> int:
    """Write a row on each line; those come first that show what the items of a list are (`ListItems`)."""
    first = _first_rows(rows)
    for number in first:
        file.write(json_line(next(islice(rows(), number, None))))
    count = 0
    for number, row in enumerate(rows()):
        count += 1
        if number not in first:
            file.write(json_line(row))
    return count


def _first_rows(rows: Rows) -> list[int]:
    """Return the numbers of the rows that belong to the beginning; rows whose lists have items are not all read."""
    items = ListItems()
    found = []
    for number, row in enumerate(rows()):
        if items.come_with(row):
            found.append(number)
        if not items.empty:
            break
    return found


def write_csv(rows: Rows, file: BinaryIO) -> int:
    """Write UTF-8 with a byte order mark, which spreadsheets look for, and a header; cells are written unchanged.

    An answer may begin like a formula ("- first", "=SUM(A1)"). It is not escaped, because models would be trained on
    the escape; the page advises to import such a file into a spreadsheet as text.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    writer, count = None, 0
    for row in rows():
        if writer is None:
            writer = csv.DictWriter(text, list(row))
            writer.writeheader()
        writer.writerow(row)
        count += 1
    text.detach()  # flushes, and leaves the file open for its owner
    return count


def write_parquet(rows: Rows, file: BinaryIO) -> int:
    """Write Parquet in two passes: a column that is empty in the first rows may get its type from later ones."""
    pa, parquet = _pyarrow()
    schema = pa.schema([])
    for batch in _batches(rows()):
        schema = pa.unify_schemas([schema, pa.Table.from_pylist(batch).schema], promote_options="permissive")
    count = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in _batches(rows()):
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
            count += len(batch)
    return count


WRITERS: dict[str, Callable[[Rows, BinaryIO], int]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
}


@contextmanager
def gzipped(file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield a gzip stream without a timestamp, so that the same rows give the same bytes."""
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as packed:
        yield packed  # type: ignore[misc]


def _batches(rows: Iterator[SnapshotRow]) -> Iterator[list[SnapshotRow]]:
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        yield batch


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise NoParquet("Parquet needs pyarrow: pip install 'prefloop[parquet]'.") from None
    return pyarrow, parquet
