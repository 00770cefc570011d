"""Rows of Parquet, some of a row group at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import BinaryIO

from annotation.imports.packed import FileLimits, too_large
from annotation.imports.raw import RawRow
from annotation.imports.refusals import UnreadableFile

BUFFER = 2**20  # of one column, so that its pages are not read all at once
AT_ONCE = 1000
AT_ONCE_BYTES = 50 * 2**20


def read_parquet(data: BinaryIO, limits: FileLimits) -> Iterator[RawRow]:
    """Yield the rows of a Parquet file; `line` is the number of the row.

    Sizes are looked at before anything is unpacked, and counted while it is: a value that stands in a dictionary once
    and is meant 100,000 times counts as often in memory, and not in the sizes that the file states.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UnreadableFile("Parquet needs pyarrow on the server. Save the file as JSONL.") from None
    try:
        file = parquet.ParquetFile(data, buffer_size=BUFFER)
        meta = file.metadata
        groups = (meta.row_group(number) for number in range(meta.num_row_groups))
        values = size = 0
        largest = 1
        for group in groups:
            size += group.total_byte_size
            for at in range(group.num_columns):
                chunk = group.column(at)
                values += chunk.num_values
                largest = max(largest, chunk.total_uncompressed_size)  # no value is larger
        if values > limits.values:
            raise UnreadableFile(f"The file has more than {limits.values:,} values. Split it into smaller files.")
        if size > limits.bytes:
            raise UnreadableFile(too_large(limits.bytes, "Unpacked, the"))
        line = unpacked = 0
        for batch in file.iter_batches(batch_size=min(AT_ONCE, max(4, AT_ONCE_BYTES // largest))):
            for fields in batch.to_pylist():
                line += 1
                text = json.dumps(fields, default=str)  # as JSON has it: arrays are lists, dates and the like are text
                unpacked += len(text)
                if unpacked > limits.bytes:
                    raise UnreadableFile(too_large(limits.bytes, "Unpacked, the"))
                yield RawRow(line, json.loads(text))
    except (pyarrow.ArrowException, OSError):
        raise UnreadableFile("The file cannot be read as Parquet. Save it again, or as JSONL.") from None
