"""Reads a file of prompts. No database here: the same bytes always give the same rows and the same refusals.

A row that cannot be used is refused with its line and what to do about it; the others are still taken.
Only when no row can be trusted (wrong encoding, no header, a broken JSON list) is the whole file refused.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _csv import Reader

MAX_FILE_BYTES = 50 * 2**20
MAX_ROWS = 500_000  # 50 MB of one-letter lines would keep a web request busy for minutes
MAX_TEXT_LENGTH = 20_000
MAX_ID_LENGTH = 200  # as Prompt.external_id
MAX_CATEGORY_LENGTH = 100  # as Prompt.category

ROLES = ("system", "user", "assistant")
PROMPT_FIELDS = ("text", "prompt", "messages")
DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}

_MEND_LIST = "Mend it, or write one object on each line and save the file as .jsonl."

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_JSON = json.JSONDecoder()
_JSON_SPACE = re.compile(r"[ \t\n]*")
_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
    dict: "an object",
    list: "a list",
    str: "text",
}


@dataclass(frozen=True)
class PromptRow:
    """A prompt as it will be stored. `line` is where its row starts in the file, from 1."""

    line: int
    messages: list[dict[str, str]]
    external_id: str
    reference: str
    category: str


@dataclass(frozen=True)
class RefusedRow:
    """A row that was not taken; `reason` names the field and says what to do."""

    line: int
    reason: str


@dataclass(frozen=True)
class ParsedPrompts:
    """Everything a file holds, both lists in the order of the file."""

    rows: list[PromptRow]
    refused: list[RefusedRow]


class UnreadableFile(ValueError):
    """The file as a whole cannot be read; the message tells its owner what to do."""


class _Refusal(ValueError):
    """Why one row is refused, before its line is known."""


@dataclass(frozen=True)
class _RawRow:
    line: int
    fields: dict[str, object]


_Reader = Callable[[str], Iterator[_RawRow | RefusedRow]]


def parse_prompts(data: bytes, filename: str) -> ParsedPrompts:
    """Read the prompts in `data`; the extension of `filename` says how. Duplicates are kept."""
    read = _reader_for(filename)
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableFile(f"The file is larger than {MAX_FILE_BYTES // 2**20} MB. Split it into smaller files.")
    text = _decode(data)
    if not text.strip():
        raise UnreadableFile("The file is empty. Choose a file that holds at least one prompt.")
    parsed = ParsedPrompts(rows=[], refused=[])
    for count, found in enumerate(read(text), start=1):
        if count > MAX_ROWS:
            raise UnreadableFile(f"The file has more than {MAX_ROWS:,} rows. Split it into smaller files.")
        if isinstance(found, RefusedRow):
            parsed.refused.append(found)
            continue
        try:
            parsed.rows.append(_prompt_row(found))
        except _Refusal as refusal:
            parsed.refused.append(RefusedRow(found.line, str(refusal)))
    if not parsed.rows and not parsed.refused:
        raise UnreadableFile("The file holds no rows. Choose a file that holds at least one prompt.")
    return parsed


# --- from bytes to text -------------------------------------------------------------------------------------


def _decode(data: bytes) -> str:
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
        before = _unix_lines(body[: error.start].decode(encoding, "ignore"))
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
    return _unix_lines(text)


def _unix_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


# --- from text to raw rows ----------------------------------------------------------------------------------


def _reader_for(filename: str) -> _Reader:
    extension = filename.rpartition(".")[2].lower() if "." in filename else ""
    readers: dict[str, _Reader] = {
        "jsonl": _read_json_lines,
        "ndjson": _read_json_lines,
        "json": _read_json_list,
        "csv": lambda text: _read_table(text, ","),
        "tsv": lambda text: _read_table(text, "\t"),
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


def _read_plain_lines(text: str) -> Iterator[_RawRow | RefusedRow]:
    for line, content in _lines(text):
        yield _RawRow(line, {"text": content})


def _read_json_lines(text: str) -> Iterator[_RawRow | RefusedRow]:
    for line, content in _lines(text):
        if "\0" in content:
            yield RefusedRow(line, "the line contains a NUL byte; remove it")
            continue
        start = _skip_space(content, 0)
        try:
            value, end = _decode_json(content, start)
            end = _skip_space(content, end)
            if end < len(content):
                raise _Refusal(f"broken JSON at column {end + 1} (more text after the value)")
        except _Refusal as refusal:
            yield RefusedRow(line, f'{refusal}; write one whole object on a line, such as {{"text": "…"}}')
        else:
            yield _object_row(line, value)


def _read_json_list(text: str) -> Iterator[_RawRow | RefusedRow]:
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
        except _Refusal as refusal:
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
    """The JSON value at `position` and where it ends; a _Refusal where there is none."""
    try:
        value, end = _JSON.raw_decode(text, position)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column" if error.lineno > 1 else "column"
        raise _Refusal(f"broken JSON at {where} {error.colno} ({error.msg})") from None
    except RecursionError:
        raise _Refusal("broken JSON (nested too deeply)") from None
    except ValueError:  # Python refuses to read integers of thousands of digits
        raise _Refusal("broken JSON (a number is too long)") from None
    return value, end


def _object_row(line: int, value: object) -> _RawRow | RefusedRow:
    if isinstance(value, dict):
        return _RawRow(line, value)
    return RefusedRow(line, f'the row is {_KINDS[type(value)]}; write an object such as {{"text": "…"}}')


def _read_table(text: str, usual_delimiter: str) -> Iterator[_RawRow | RefusedRow]:
    """Rows under a header that names "text" or "prompt". Columns with other names are passed over."""
    delimiter = _find_delimiter(text, usual_delimiter)
    header = _header(text, delimiter)
    _check_header(header)
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
            yield _RawRow(line, fields)


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


def _find_delimiter(text: str, usual: str) -> str:
    """The delimiter that splits a usable header into most columns; the usual one if that does not decide."""

    def columns(delimiter: str) -> int:
        header = _header(text, delimiter)
        return len(header) if {"text", "prompt"} & set(header) else 0

    return max([usual, *DELIMITERS], key=columns)


def _check_header(header: list[str]) -> None:
    prompts = [name for name in header if name in ("text", "prompt")]
    if not prompts:
        found = ", ".join(f'"{name[:40]}"' for name in header[:10]) or "none that can be read"
        raise UnreadableFile(
            f'The first row must name the columns, one of them "text" or "prompt". Columns found: {found}.'
        )
    if len(set(prompts)) > 1:
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


# --- from raw rows to prompts -------------------------------------------------------------------------------


def _prompt_row(raw: _RawRow) -> PromptRow:
    return PromptRow(
        line=raw.line,
        messages=_prompt_messages(raw.fields),
        external_id=_optional(raw.fields, "id", MAX_ID_LENGTH),
        reference=_optional(raw.fields, "reference", MAX_TEXT_LENGTH),
        category=_optional(raw.fields, "category", MAX_CATEGORY_LENGTH),
    )


def _prompt_messages(fields: dict[str, object]) -> list[dict[str, str]]:
    """The conversation that a row holds in exactly one of its possible fields."""
    # Tools that write a table as JSON put null where there is no value: null is no second prompt.
    given = [name for name in PROMPT_FIELDS if fields.get(name) is not None]
    if len(given) > 1:
        names = " and ".join(f'"{name}"' for name in given)
        raise _Refusal(f"{names} are both given; keep one of them")
    if not given:
        null = next((name for name in PROMPT_FIELDS if name in fields), None)
        if null:
            raise _Refusal(f'"{null}" is null; write the prompt there')
        raise _Refusal('the row has no "text", "prompt" or "messages"; add one of them')
    name = given[0]
    if name == "messages":
        return _conversation(fields[name])
    return [{"role": "user", "content": _required(f'"{name}"', fields[name])}]


def _conversation(value: object) -> list[dict[str, str]]:
    shape = '{"role": "user", "content": "…"}'
    if not isinstance(value, list):
        raise _Refusal(f'"messages" is {_KINDS[type(value)]}; write a list of messages such as {shape}')
    if not value:
        raise _Refusal(f'"messages" is an empty list; add a message such as {shape}')
    messages = []
    for number, item in enumerate(value, start=1):
        if not isinstance(item, dict):
            raise _Refusal(f'message {number} of "messages" is {_KINDS[type(item)]}; write {shape}')
        messages.append(_message(number, item))
    last = messages[-1]["role"]
    if last != "user":
        article = "an" if last == "assistant" else "a"
        raise _Refusal(f'"messages" ends with {article} {last} message; end with the user message to answer')
    length = sum(len(message["content"]) for message in messages)
    if length > MAX_TEXT_LENGTH:
        raise _Refusal(_too_long('"messages"', length, MAX_TEXT_LENGTH))
    return messages


def _message(number: int, item: dict[str, object]) -> dict[str, str]:
    for name in ("role", "content"):
        if name not in item:
            raise _Refusal(f'message {number} of "messages" has no "{name}"; add it')
    role = item["role"]
    if not isinstance(role, str):
        raise _Refusal(f'"role" of message {number} is {_KINDS[type(role)]}; use system, user or assistant')
    if role not in ROLES:
        # Shown back to people, so without whatever it may hold that is not printable, and not at any length.
        name = json.dumps(role[:40])
        raise _Refusal(f'"role" of message {number} is {name}, which is unknown; use system, user or assistant')
    if role == "system" and number > 1:
        raise _Refusal(f"message {number} is a system message; keep only one and put it first")
    return {"role": role, "content": _required(f'"content" of message {number}', item["content"])}


def _required(label: str, value: object) -> str:
    text = _clean(label, value, MAX_TEXT_LENGTH)
    if not text:
        raise _Refusal(f"{label} is empty; write something there or delete the row")
    return text


def _optional(fields: dict[str, object], name: str, limit: int) -> str:
    value = fields.get(name)
    return "" if value is None else _clean(f'"{name}"', value, limit)


def _clean(label: str, value: object, limit: int) -> str:
    """Text as it is stored: trimmed, \\n for line ends, no control characters, and NFC."""
    if not isinstance(value, str):
        raise _Refusal(f"{label} is {_KINDS[type(value)]}; write text in double quotes instead")
    if "\0" in value:
        raise _Refusal(f"{label} contains a NUL character; remove it")
    if _SURROGATE.search(value):  # JSON can spell it, but no database can store it
        raise _Refusal(f"{label} contains half of a surrogate pair; write the whole character")
    text = _CONTROL.sub("", _unix_lines(value)).strip()
    if len(text) <= limit:  # NFC of many combining characters takes quadratic time, so never on text of any length
        text = unicodedata.normalize("NFC", text)
    if len(text) > limit:
        raise _Refusal(_too_long(label, len(text), limit))
    return text


def _too_long(label: str, length: int, limit: int) -> str:
    return f"{label} has {length:,} characters; shorten it to at most {limit:,}"
