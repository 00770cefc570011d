"""From the bytes of a file to raw rows: fields by name, each with the line it starts on.

Only when no row can be trusted (wrong encoding, no header, a broken JSON list) is the whole file refused.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annotation.imports.refusals import KINDS, Refusal, RefusedRow, UnknownColumns, UnreadableFile

if TYPE_CHECKING:
    from _csv import Reader

MAX_FILE_BYTES = 50 * 2**20
MAX_ROWS = 500_000  # 50 MB of one-letter lines would keep a web request busy for minutes
CHUNK = 2**20
DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
# A header must name one of these sets, so that a table without a header is not taken for one with strange names.
NEEDED = ({"text"}, {"prompt"}, {"chosen", "rejected"})

_MEND_LIST = "Mend it, or write one object on each line and save the file as .jsonl."

_JSON = json.JSONDecoder()
_JSON_SPACE = re.compile(r"[ \t\n]*")


@dataclass(frozen=True)
class RawRow:
    line: int
    fields: dict[str, object]


_Reader = Callable[[str], Iterator[RawRow | RefusedRow]]


def read_rows(data: bytes, filename: str, mapping: Mapping[str, str] | None = None) -> Iterator[RawRow | RefusedRow]:
    """The rows in `data`; the extension of `filename` says how. `mapping` gives fields the column they come from."""
    mapping = {name: column for name, column in (mapping or {}).items() if column}
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableFile(_too_large())
    if filename.lower().endswith(".gz"):
        data, filename = unpacked(data), filename[:-3]
    if filename.lower().endswith(".parquet"):
        rows = _read_parquet(data)
    else:
        read = _reader_for(filename, mapping)
        text = decode(data)
        if not text.strip():
            raise UnreadableFile("The file is empty. Choose a file that holds at least one prompt.")
        rows = read(text)
    count = 0
    for count, found in enumerate(rows, start=1):
        if count > MAX_ROWS:
            raise UnreadableFile(f"The file has more than {MAX_ROWS:,} rows. Split it into smaller files.")
        yield _mapped(found, mapping) if mapping and isinstance(found, RawRow) else found
    if not count:
        raise UnreadableFile("The file holds no rows. Choose a file that holds at least one prompt.")


def columns_of(data: bytes, filename: str) -> list[str]:
    """The names that the first rows have, for the page that asks what they mean."""
    if filename.lower().endswith(".gz"):
        data, filename = unpacked(data), filename[:-3]
    if filename.lower().endswith((".csv", ".tsv")):
        text = decode(data)
        return [name for name in max((_header(text, each) for each in DELIMITERS), key=len) if name]
    names: dict[str, None] = {}
    for place, row in enumerate(read_rows(data, filename)):
        if isinstance(row, RawRow):
            names |= dict.fromkeys(row.fields)
        if place == 100:
            break
    return list(names)[:100]


def _mapped(row: RawRow, mapping: Mapping[str, str]) -> RawRow:
    """Fields under the names that are meant; what a column was called before means nothing any more."""
    taken = {column.lower() for column in mapping.values()}
    lower = {name.lower(): value for name, value in row.fields.items()}
    kept = {name: value for name, value in row.fields.items() if name.lower() not in taken and name not in mapping}
    return RawRow(row.line, kept | {name: lower.get(column.lower()) for name, column in mapping.items()})


def _too_large() -> str:
    return f"The file is larger than {MAX_FILE_BYTES // 2**20} MB. Split it into smaller files."


def unpacked(data: bytes) -> bytes:
    """What gzip holds, as long as it is no larger than any other file may be: a bomb is never unpacked whole."""
    content, size = io.BytesIO(), 0
    try:
        with gzip.open(io.BytesIO(data)) as packed:
            while chunk := packed.read(CHUNK):
                size += len(chunk)
                if size > MAX_FILE_BYTES:
                    raise UnreadableFile(f"Unpacked, {_too_large()[0].lower()}{_too_large()[1:]}")
                content.write(chunk)
    except (OSError, EOFError, zlib.error):
        raise UnreadableFile("The file ends in .gz but is not whole gzip. Pack it again.") from None
    return content.getvalue()


def _read_parquet(data: bytes) -> Iterator[RawRow | RefusedRow]:
    """`line` is the number of the row. Sizes are looked at before anything is unpacked."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UnreadableFile("Parquet needs pyarrow on the server. Save the file as JSONL.") from None
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        meta = file.metadata
        if sum(meta.row_group(number).total_byte_size for number in range(meta.num_row_groups)) > MAX_FILE_BYTES:
            raise UnreadableFile(f"Unpacked, {_too_large()[0].lower()}{_too_large()[1:]}")
        line = 0
        for batch in file.iter_batches(batch_size=1000):
            for fields in batch.to_pylist():
                line += 1
                yield RawRow(line, _plain(fields))
    except (pyarrow.ArrowException, OSError):
        raise UnreadableFile("The file cannot be read as Parquet. Save it again, or as JSONL.") from None


def _plain(fields: dict[str, Any]) -> dict[str, object]:
    """As JSON has it: arrays are lists, dates and the like are text."""
    plain: dict[str, object] = json.loads(json.dumps(fields, default=str))
    return plain


# --- from bytes to text -------------------------------------------------------------------------------------


def decode(data: bytes) -> str:
    """UTF-8, or UTF-16 that says so with a byte order mark; line ends become \\n."""
    encoding, mark = "utf-8", b""
    for name, bom in [
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
    ]:
        if data.startswith(bom):
            encoding, mark = name, bom
    body = data[len(mark) :]
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        before = unix_lines(body[: error.start].decode(encoding, "ignore"))
        raise UnreadableFile(
            f"Byte {len(mark) + error.start} of the file, on line {before.count(chr(10)) + 1}, "
            f"is not valid {encoding[:6].upper().rstrip('-')}. Save the file as UTF-8 and upload it again."
        ) from None
    # ASCII in UTF-16 without its mark is valid UTF-8 in which every second character is NUL.
    if "\0" in text and text.count("\0") * 2 >= len(text):
        raise UnreadableFile(
            "The file is mostly NUL bytes: it is not text, or it is UTF-16 without a byte order mark. "
            "Save it as UTF-8 and upload it again."
        )
    return unix_lines(text)


def unix_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


# --- from text to raw rows ----------------------------------------------------------------------------------


def _reader_for(filename: str, mapping: Mapping[str, str]) -> _Reader:
    extension = filename.rpartition(".")[2].lower() if "." in filename else ""
    readers: dict[str, _Reader] = {
        "jsonl": _read_json_lines,
        "ndjson": _read_json_lines,
        "json": _read_json_list,
        "csv": lambda text: _read_table(text, ",", mapping),
        "tsv": lambda text: _read_table(text, "\t", mapping),
        "txt": _read_plain_lines,
    }
    if extension not in readers:
        what = f'Files that end in ".{extension}" cannot be read.' if extension else "The file has no extension."
        raise UnreadableFile(f"{what} Use one of {', '.join(f'.{known}' for known in readers)}.")
    return readers[extension]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not blank."""
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


def _read_json_list(text: str) -> Iterator[RawRow | RefusedRow]:
    """Walks the list item by item, because json.loads would lose the lines they start on."""
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
    """Where the next item starts, or the bracket that closes the list; and whether there is a next item."""
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
    """The JSON value at `position` and where it ends; a Refusal where there is none."""
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


def _read_table(text: str, usual_delimiter: str, mapping: Mapping[str, str]) -> Iterator[RawRow | RefusedRow]:
    """Rows under a header that names "text" or "prompt", or what stands for it."""
    needed = ({column.lower() for column in mapping.values()},) if mapping else NEEDED
    delimiter = _find_delimiter(text, usual_delimiter, needed)
    header = _header(text, delimiter)
    _check_header(header, needed, mapped=bool(mapping))
    reader = _csv_reader(text, delimiter)
    before_header = True
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield RefusedRow(line, _csv_reason(error, line, reader.line_num))
            continue
        if not cells:
            continue
        if before_header:
            before_header = False
        elif len(cells) != len(header):
            yield RefusedRow(line, _columns_reason(len(cells), len(header), delimiter))
        else:
            fields: dict[str, object] = dict(zip(header, cells, strict=True))
            fields.pop("messages", None)  # a conversation does not fit into a cell
            yield RawRow(line, fields)


def _csv_reader(text: str, delimiter: str) -> Reader:
    # newline="\n" keeps StringIO from splitting at anything but \n. Strict, because otherwise a quote that is
    # never closed would silently swallow the rest of the file.
    lines = io.StringIO(text, newline="\n")
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def _header(text: str, delimiter: str) -> list[str]:
    """The column names in small letters; none if the first row cannot be read."""
    try:
        cells: list[str] = next((cells for cells in _csv_reader(text, delimiter) if cells), [])
    except csv.Error:
        return []
    return [cell.strip().lower() for cell in cells]


def _find_delimiter(text: str, usual: str, needed: tuple[set[str], ...]) -> str:
    """The delimiter that splits a usable header into most columns; the usual one if that does not decide."""

    def columns(delimiter: str) -> int:
        header = _header(text, delimiter)
        return len(header) if any(names <= set(header) for names in needed) else 0

    return max([usual, *DELIMITERS], key=columns)


def _check_header(header: list[str], needed: tuple[set[str], ...], *, mapped: bool) -> None:
    prompts = [name for name in header if name in ("text", "prompt")]
    if mapped and not needed[0] <= set(header):
        missing = ", ".join(f'"{name}"' for name in sorted(needed[0] - set(header)))
        raise UnreadableFile(f"The file has no column {missing}. Choose the columns again.")
    if not any(names <= set(header) for names in needed):
        found = ", ".join(f'"{name[:40]}"' for name in header[:10]) or "none that can be read"
        raise UnknownColumns(
            f'The first row must name the columns, one of them "text" or "prompt". Columns found: {found}.'
        )
    if not mapped and len(set(prompts)) > 1:
        raise UnreadableFile('The file has a column "text" and a column "prompt". Keep the one that holds the prompts.')
    for name in (*prompts[:1], "id", "reference", "category"):
        if header.count(name) > 1:
            raise UnreadableFile(f'{header.count(name)} columns are called "{name}". Keep one of them.')


def _csv_reason(error: csv.Error, first_line: int, last_line: int) -> str:
    span = f"lines {first_line} to {last_line} were read as one row" if last_line > first_line else "broken CSV"
    return f'{span} ({error}); close every quoted cell and write a quote inside it twice ("")'


def _columns_reason(found: int, expected: int, delimiter: str) -> str:
    advice = (
        f"put text that contains {DELIMITERS[delimiter]} in double quotes"
        if found > expected
        else "leave an empty cell for a value that is missing"
    )
    return f"the row has {found} column{'s' * (found != 1)} but the header has {expected}; {advice}"
