"""From the bytes of a file to raw rows: fields by name, each with the line it starts on.

Only when no row can be trusted (wrong encoding, no header, a broken JSON list) is the whole file refused.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Set

from annotation.imports.folders import is_data
from annotation.imports.objects import rows_in
from annotation.imports.raw import RawRow
from annotation.imports.refusals import KINDS, Refusal, RefusedRow, UnreadableFile
from annotation.imports.tables import DELIMITERS, header_of, read_table
from annotation.imports.text import decode

MAX_FILE_BYTES = 50 * 2**20
MAX_ROWS = 500_000  # 50 MB of one-letter lines would keep a web request busy for minutes
MAX_VALUES = 10_000_000  # of a Parquet file; empty ones take next to no bytes there, and eight each once they are read
CHUNK = 2**20
_MEND_LIST = "Mend it, or write one object on each line and save the file as .jsonl."

_JSON = json.JSONDecoder()
_JSON_SPACE = re.compile(r"[ \t\n]*")


_Reader = Callable[[str], Iterator[RawRow | RefusedRow]]


def read_rows(data: bytes, filename: str, columns: Set[str] = frozenset()) -> Iterator[RawRow | RefusedRow]:
    """Yield the rows in `data`; the extension of `filename` says how. `columns` are those that a person named."""
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableFile(_too_large())
    data, filename = content_of(data, filename)
    if filename.lower().endswith(".parquet"):
        rows = _read_parquet(data)
    else:
        read = _reader_for(filename, columns)
        text = decode(data)
        if not text.strip():
            raise UnreadableFile("The file is empty. Choose a file that holds at least one prompt.")
        rows = read(text)
    count = 0
    for count, found in enumerate(rows, start=1):
        if count > MAX_ROWS:
            raise UnreadableFile(f"The file has more than {MAX_ROWS:,} rows. Split it into smaller files.")
        yield found
    if not count:
        raise UnreadableFile("The file holds no rows. Choose a file that holds at least one prompt.")


def columns_of(data: bytes, filename: str) -> list[str]:
    """Return the column names of the first rows, for the page that asks what they mean."""
    data, filename = content_of(data, filename)
    if filename.lower().endswith((".csv", ".tsv")):
        text = decode(data)
        return [name for name in max((header_of(text, each) for each in DELIMITERS), key=len) if name]
    names: dict[str, None] = {}
    for place, row in enumerate(read_rows(data, filename)):
        if isinstance(row, RawRow):
            names |= dict.fromkeys(row.fields)
        if place == 100:
            break
    return list(names)[:100]


def _too_large(the: str = "The") -> str:
    return f"{the} file is larger than {MAX_FILE_BYTES // 2**20} MB. Split it into smaller files."


def content_of(data: bytes, filename: str) -> tuple[bytes, str]:
    """Return what a packed file holds, and its name without the ending of the packing; other files as they are."""
    if filename.lower().endswith(".gz"):
        return unpacked(data), filename[:-3]
    if filename.lower().endswith(".zip"):
        return unzipped(data)
    return data, filename


def unpacked(data: bytes) -> bytes:
    """Return the content of gzip, up to the size limit of files, so that a bomb is never unpacked whole."""
    content, size = io.BytesIO(), 0
    try:
        with gzip.open(io.BytesIO(data)) as packed:
            while chunk := packed.read(CHUNK):
                size += len(chunk)
                if size > MAX_FILE_BYTES:
                    raise UnreadableFile(_too_large("Unpacked, the"))
                content.write(chunk)
    except (OSError, EOFError, zlib.error):
        raise UnreadableFile("The file ends in .gz but is not whole gzip. Pack it again.") from None
    return content.getvalue()


def unzipped(data: bytes) -> tuple[bytes, str]:
    """Return the one data file in a zip archive, and its name; what tools and people put beside it is left alone."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = [each for each in archive.infolist() if not each.is_dir() and is_data(each.filename)]
            if len(files) != 1:
                found = ", ".join(each.filename[:60] for each in files[:5]) or "none"
                raise UnreadableFile(f"A .zip file must hold one data file; found: {found}. Unpack it first.")
            if files[0].file_size > MAX_FILE_BYTES:
                raise UnreadableFile(_too_large("Unpacked, the"))
            with archive.open(files[0]) as packed:
                content = packed.read(MAX_FILE_BYTES + 1)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError, zlib.error):
        raise UnreadableFile(
            "The file ends in .zip but cannot be unpacked. Pack it again, without a password."
        ) from None
    if len(content) > MAX_FILE_BYTES:
        raise UnreadableFile(_too_large("Unpacked, the"))
    return (
        content_of(content, files[0].filename)
        if files[0].filename.lower().endswith(".gz")
        else (
            content,
            files[0].filename,
        )
    )


def _read_parquet(data: bytes) -> Iterator[RawRow | RefusedRow]:
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
        file = parquet.ParquetFile(io.BytesIO(data))
        meta = file.metadata
        groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
        chunks = [group.column(at) for group in groups for at in range(group.num_columns)]
        if sum(chunk.num_values for chunk in chunks) > MAX_VALUES:
            raise UnreadableFile(f"The file has more than {MAX_VALUES:,} values. Split it into smaller files.")
        if sum(group.total_byte_size for group in groups) > MAX_FILE_BYTES:
            raise UnreadableFile(_too_large("Unpacked, the"))
        largest = max((chunk.total_uncompressed_size for chunk in chunks), default=1)  # no value is larger
        line = unpacked_bytes = 0
        for batch in file.iter_batches(batch_size=min(1000, max(4, MAX_FILE_BYTES // max(largest, 1)))):
            for fields in batch.to_pylist():
                line += 1
                text = json.dumps(fields, default=str)  # as JSON has it: arrays are lists, dates and the like are text
                unpacked_bytes += len(text)
                if unpacked_bytes > MAX_FILE_BYTES:
                    raise UnreadableFile(_too_large("Unpacked, the"))
                yield RawRow(line, json.loads(text))
    except (pyarrow.ArrowException, OSError):
        raise UnreadableFile("The file cannot be read as Parquet. Save it again, or as JSONL.") from None


# --- from text to raw rows ----------------------------------------------------------------------------------


def _reader_for(filename: str, columns: Set[str]) -> _Reader:
    extension = filename.rpartition(".")[2].lower() if "." in filename else ""
    readers: dict[str, _Reader] = {
        "jsonl": _read_json_lines,
        "ndjson": _read_json_lines,
        "json": _read_json,
        "csv": lambda text: read_table(text, ",", columns),
        "tsv": lambda text: read_table(text, "\t", columns),
        "txt": _read_plain_lines,
    }
    if extension not in readers:
        what = f'Files that end in ".{extension}" cannot be read.' if extension else "The file has no extension."
        raise UnreadableFile(f"{what} Use one of {', '.join(f'.{known}' for known in readers)}.")
    return readers[extension]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield numbered lines that are not blank."""
    # Not str.splitlines, which would cut a prompt at a U+2028 or a form feed inside it.
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            yield line, content


def _read_plain_lines(text: str) -> Iterator[RawRow | RefusedRow]:
    for line, content in _lines(text):
        yield RawRow(line, {"text": content})


def _read_json_lines(text: str) -> Iterator[RawRow | RefusedRow]:
    for line, content in _lines(text):
        if "\0" in content:
            yield RefusedRow(line, "the line contains a NUL byte; remove it")
            continue
        start = _skip_space(content, 0)
        try:
            value, end = _decode_json(content, start)
            end = _skip_space(content, end)
            if end < len(content):
                raise Refusal(f"broken JSON at column {end + 1} (more text after the value)")
        except Refusal as refusal:
            yield RefusedRow(line, f'{refusal}; write one whole object on a line, such as {{"text": "…"}}')
        else:
            yield _object_row(line, value)


def _read_json(text: str) -> Iterator[RawRow | RefusedRow]:
    """Yield the rows of a list, of an object that holds one list of rows, or of one object on each line."""
    start = _skip_space(text, 0)
    if text[start] != "{":
        yield from _read_json_list(text)
        return
    try:
        value, end = _decode_json(text, start)
    except Refusal:
        value, end = None, start
    if not isinstance(value, dict) or _skip_space(text, end) < len(text):
        yield from _read_json_lines(text)
        return
    for number, row in enumerate(rows_in(value), start=1):  # the lines inside are not known
        yield _object_row(number, row)


def _read_json_list(text: str) -> Iterator[RawRow | RefusedRow]:
    """Yield the items of a list one by one with their lines, which json.loads would lose."""
    position = _skip_space(text, 0)
    if text[position] != "[":
        raise UnreadableFile(
            'A .json file must hold a list: [{"text": "…"}, …]. '
            "If yours has one object on each line, give it the extension .jsonl."
        )
    position = _skip_space(text, position + 1)
    line, counted = 1, 0
    more = text[position : position + 1] != "]"
    while more:
        line += text.count("\n", counted, position)
        counted = position
        try:
            value, position = _decode_json(text, position)
        except Refusal as refusal:
            raise UnreadableFile(f"In the list item on line {line}: {refusal}. {_MEND_LIST}") from None
        yield _object_row(line, value)
        position, more = _after_item(text, position)
    position = _skip_space(text, position + 1)
    if position < len(text):
        here = text.count("\n", 0, position) + 1
        raise UnreadableFile(f"There is more text after the end of the list, on line {here}. {_MEND_LIST}")


def _after_item(text: str, position: int) -> tuple[int, bool]:
    """Return the position of the next item, or of the closing bracket, and whether there is a next item."""
    position = _skip_space(text, position)
    separator = text[position : position + 1]
    if separator == ",":
        return _skip_space(text, position + 1), True
    if separator == "]":
        return position, False
    here = text.count("\n", 0, position) + 1
    raise UnreadableFile(f"The list lacks a comma or its closing bracket on line {here}. {_MEND_LIST}")


def _skip_space(text: str, position: int) -> int:
    match = _JSON_SPACE.match(text, position)
    return match.end() if match else position


def _decode_json(text: str, position: int) -> tuple[object, int]:
    """Return the JSON value at `position` and its end, or a Refusal where there is none."""
    try:
        value, end = _JSON.raw_decode(text, position)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column" if error.lineno > 1 else "column"
        raise Refusal(f"broken JSON at {where} {error.colno} ({error.msg})") from None
    except RecursionError:
        raise Refusal("broken JSON (nested too deeply)") from None
    except ValueError:  # Python refuses to read integers of thousands of digits
        raise Refusal("broken JSON (a number is too long)") from None
    return value, end


def _object_row(line: int, value: object) -> RawRow | RefusedRow:
    if isinstance(value, dict):
        return RawRow(line, value)
    return RefusedRow(line, f'the row is {KINDS[type(value)]}; write an object such as {{"text": "…"}}')
