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


def write_jsonl(rows: Rows, file: BinaryIO) -> int:
    count = 0
    for row in rows():
        file.write(json_line(row))
        count += 1
    return count


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
