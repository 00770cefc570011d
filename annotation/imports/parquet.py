"""Rows of Parquet, some of a row group at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from annotation.imports.packed import FileLimits, size_of, too_large
from annotation.imports.raw import RawRow
from annotation.imports.refusals import UnreadableFile

BUFFER = 2**20  # of one column, so that its pages are not read all at once
AT_ONCE = 1000
AT_ONCE_BYTES = 4 * 2**20  # as Python's: while they are made, no other thread of a server runs
MOST_BYTES_OF_A_ROW = 50 * 2**20
MOST_BYTES_OF_A_COLUMN = 2**30  # in one row group: no value or row of it is larger
MOST_VALUES_OF_A_COLUMN = 20_000_000  # in one row group


def read_parquet(data: BinaryIO, limits: FileLimits) -> Iterator[RawRow]:
    """Yield the rows of a Parquet file; `line` is the number of the row.

    Sizes are looked at before anything is unpacked. Texts are read as dictionaries: a value that stands in the file
    once and is meant 100,000 times is one value then, and its repetitions are counted before they are made.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UnreadableFile("Parquet needs pyarrow on the server. Save the file as JSONL.") from None
    try:
        with parquet.ParquetFile(data) as file:
            rows_at_once = _rows_at_once(file.metadata, limits)
            texts = _texts(file.metadata)
        data.seek(0)
        file = parquet.ParquetFile(data, buffer_size=BUFFER, read_dictionary=texts)
        line = unpacked = 0
        # Without threads of its own: each keeps some memory for good, beside the pages of the server.
        for batch in file.iter_batches(batch_size=rows_at_once, use_threads=False):
            for part in _parts(batch.to_struct_array(), line, limits.bytes - unpacked, limits):
                for fields in part.to_pylist():
                    line += 1
                    text = json.dumps(fields, default=str)  # as JSON has it: arrays are lists, dates and the like text
                    unpacked += len(text)
                    if unpacked > limits.bytes:
                        raise UnreadableFile(too_large(limits.bytes, unpacked=True))
                    yield RawRow(line, json.loads(text))
    except (pyarrow.ArrowException, OSError):
        raise UnreadableFile("The file cannot be read as Parquet. Save it again, or as JSONL.") from None
    finally:
        pyarrow.default_memory_pool().release_unused()  # it would keep what the largest file took


def _texts(meta: Any) -> list[str]:
    """Return the columns that can be read as dictionaries; decimals are numbers that are stored as bytes."""
    columns = (meta.schema.column(at) for at in range(len(meta.schema)))
    return [each.path for each in columns if each.physical_type == "BYTE_ARRAY" and each.logical_type.type != "DECIMAL"]


def _rows_at_once(meta: Any, limits: FileLimits) -> int:
    """Return how many rows to read at once. Raises UnreadableFile for more than the limits, by what the file states."""
    values = size = 0
    largest = 1
    for number in range(meta.num_row_groups):
        group = meta.row_group(number)
        size += group.total_byte_size
        for at in range(group.num_columns):
            chunk = group.column(at)
            values += chunk.num_values
            largest = max(largest, chunk.total_uncompressed_size)
            if chunk.physical_type == "FIXED_LEN_BYTE_ARRAY":
                size += chunk.num_values * max(0, meta.schema.column(at).length)
            if chunk.total_uncompressed_size > MOST_BYTES_OF_A_COLUMN or chunk.num_values > MOST_VALUES_OF_A_COLUMN:
                raise UnreadableFile(
                    f"Row group {number + 1} has more than {size_of(MOST_BYTES_OF_A_COLUMN)} or "
                    f"{MOST_VALUES_OF_A_COLUMN:,} values in a column. Save the file with smaller row groups."
                )
    if values > limits.values:
        raise UnreadableFile(f"The file has more than {limits.values:,} values. Split it into smaller files.")
    if size > limits.bytes:
        raise UnreadableFile(too_large(limits.bytes, unpacked=True))
    return min(AT_ONCE, max(4, MOST_BYTES_OF_A_ROW // largest))


def _parts(rows: Any, line: int, left: int, limits: FileLimits) -> Iterator[Any]:
    """Yield the rows in parts whose values take at most AT_ONCE_BYTES each, with every repetition, or single rows.

    `line` is the number of rows before these, `left` the bytes that they may take. Raises UnreadableFile beyond them.
    """
    size = _bytes_in(rows)
    if size > left:
        raise UnreadableFile(too_large(limits.bytes, unpacked=True))
    if len(rows) == 1 and size > MOST_BYTES_OF_A_ROW:
        raise UnreadableFile(
            f"Row {line + 1} is larger than {size_of(MOST_BYTES_OF_A_ROW)}. Leave it out, or split it."
        )
    if size <= AT_ONCE_BYTES or len(rows) == 1:
        yield rows
    else:
        half = len(rows) // 2
        yield from _parts(rows.slice(0, half), line, left, limits)
        yield from _parts(rows.slice(half), line + half, left, limits)


def _bytes_in(array: Any) -> int:
    """Return the bytes of the texts in an array, each as often as it is meant, and 8 for any other value."""
    import pyarrow
    from pyarrow import compute, types

    kind = array.type
    if types.is_dictionary(kind):
        lengths = compute.binary_length(array.dictionary)
        return int(compute.sum(compute.cast(lengths.take(array.indices), pyarrow.int64())).as_py() or 0)
    if types.is_struct(kind):
        return len(array) + sum(_bytes_in(field) for field in array.flatten())
    if types.is_map(kind):
        entries = array.offsets[0].as_py(), array.offsets[-1].as_py()
        return sum(_bytes_in(side.slice(entries[0], entries[1] - entries[0])) for side in (array.keys, array.items))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return len(array) + _bytes_in(array.flatten())
    if types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        return int(compute.sum(compute.cast(compute.binary_length(array), pyarrow.int64())).as_py() or 0)
    return 8 * len(array)
