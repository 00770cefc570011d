"""Rows of JSON: one object on each line, a list, or one object that holds the rows. Lists are read item by item."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext_noop

from annotation.imports.objects import ROW_LISTS, SPLITS, beside_rows, rows_in, with_file
from annotation.imports.packed import size_of
from annotation.imports.raw import RawRow
from annotation.imports.refusals import KINDS, Refusal, RefusedRow, UnreadableFile
from annotation.imports.text import MAX_LINE, PIECE, FileText

MAX_OBJECT = 50 * 2**20  # characters of one object that holds all rows: it is read as a whole
_TOO_LARGE_OBJECT = (
    f"The file holds one JSON object of more than {size_of(MAX_OBJECT)} that has no list of rows (such as data). "
    "Write one object on each line and save the file as .jsonl."
)
_MEND_LIST = gettext_noop("Mend it, or write one object on each line and save the file as .jsonl.")
_JSON = json.JSONDecoder()
_SIMPLE = r'"(?:[^"\\]|\\.)*"|[-+.\deE]+|true|false|null'
# An object that begins with its list of rows, or with a few simple fields before it.
_BEGINS_ROWS = re.compile(
    rf'\s*\{{(?:\s*"[^"\\]*"\s*:\s*(?:{_SIMPLE})\s*,)*\s*"(?:{"|".join(sorted(ROW_LISTS | SPLITS))})"\s*:\s*\[\s*\{{'
)
_SPACE = re.compile(r"[ \t\n]*")


def read_json_lines(text: FileText) -> Iterator[RawRow | RefusedRow]:
    """Yield the row on each line that is not blank."""
    for line, content in enumerate(text.lines(), start=text.line):
        if not content.strip():
            continue
        if "\0" in content:
            yield RefusedRow(line, "the line contains a NUL byte; remove it")
            continue
        try:
            value, end = _decoded(content, _space(content, 0))
            end = _space(content, end)
            if end < len(content):
                raise Refusal(f"broken JSON at column {end + 1} (more text after the value)")
        except Refusal as refusal:
            yield RefusedRow(line, f'{refusal}; write one whole object on a line, such as {{"text": "…"}}')
        else:
            yield _row(line, value)


def read_json(text: FileText) -> Iterator[RawRow | RefusedRow]:
    """Yield the rows of a list, of an object that holds one list of rows, or of one object on each line."""
    start = _space(text.buffer, 0)
    if text.buffer[start] != "{":
        yield from _read_list(text)
        return
    if _BEGINS_ROWS.match(text.buffer) and text.more():
        yield from _read_object(text, start)
        return
    try:
        value, end = _decoded_whole(text, start, MAX_OBJECT)
    except Refusal:
        if not text.ended and not _is_one_line(text.buffer):
            yield from _read_object(text, start)
            return
        value, end = None, start
    if not isinstance(value, dict) or _after_space(text, end) < len(text.buffer):
        yield from read_json_lines(text)
        return
    for number, row in enumerate(rows_in(value), start=1):  # the lines inside are not known
        yield _row(number, row)


def _is_one_line(text: str) -> bool:
    """Return whether the first line that is not blank looks like a whole object."""
    lines = text[:MAX_LINE].split("\n")
    first = next((line for line in lines[:-1] if line.strip()), "")  # the last one may go on
    return first.rstrip().endswith("}")


def _read_object(text: FileText, start: int) -> Iterator[RawRow | RefusedRow]:
    """Yield the rows of an object that is too large to be read as a whole: of its list of rows, or of its splits.

    What stands before them and looks like a part of each row is a field `file.NAME`, as in `rows_in`.
    """
    beside: dict[str, Any] = {}
    lists: list[str] = []
    number = 0
    position, more = _after_space(text, start + 1), True
    while more:
        name, position = _key(text, position)
        if _begins_rows(text, name, position):
            if lists and not {name, *lists} <= SPLITS:
                raise UnreadableFile(f'The file has two lists of rows, "{lists[0]}" and "{name}". Keep one of them.')
            lists.append(name)
            for _, value in _items(text, position):
                number += 1
                yield _row(number, with_file(beside, value))
            position = 0  # of what is left in the buffer
        else:
            value, position = _value_in_object(text, name, position)
            found = beside_rows({name: value})
            if found and lists:
                raise UnreadableFile(f'"{name}" stands behind the rows of the file. Write it before them.')
            beside |= found
        position, more = _after_item(text, position, "}")
    if not lists:
        raise UnreadableFile(_TOO_LARGE_OBJECT)
    if _after_space(text, position + 1) < len(text.buffer):
        raise UnreadableFile(f"There is more text after the end of the object. {_MEND_LIST}")


def _key(text: FileText, position: int) -> tuple[str, int]:
    """Return the name of a field of an object, and where its value begins."""
    name, position = _value_in_object(text, "a name", position)
    position = _after_space(text, position)
    if not isinstance(name, str) or text.buffer[position : position + 1] != ":":
        raise UnreadableFile(f"The object of the file is broken behind {str(name)[:40]!r}. {_MEND_LIST}")
    return name, _after_space(text, position + 1)


def _begins_rows(text: FileText, name: str, position: int) -> bool:
    """Return whether a list of objects begins here, under a name that rows have."""
    if name not in ROW_LISTS | SPLITS or text.buffer[position : position + 1] != "[":
        return False
    inside = _after_space(text, position + 1)
    return text.buffer[inside : inside + 1] == "{"


def _value_in_object(text: FileText, name: str, position: int) -> tuple[object, int]:
    try:
        return _decoded_whole(text, position, MAX_LINE)
    except Refusal as refusal:
        if not text.ended:
            raise UnreadableFile(_TOO_LARGE_OBJECT) from None
        raise UnreadableFile(f'In "{name[:40]}" of the object: {refusal}. {_MEND_LIST}') from None


def _read_list(text: FileText) -> Iterator[RawRow | RefusedRow]:
    """Yield the items of a list one by one with their lines, which json.loads would lose."""
    position = _space(text.buffer, 0)
    if text.buffer[position] != "[":
        raise UnreadableFile(
            'A .json file must hold a list: [{"text": "…"}, …]. '
            "If yours has one object on each line, give it the extension .jsonl."
        )
    for line, value in _items(text, position):
        yield _row(line, value)
    position = _after_space(text, 0)
    if position < len(text.buffer):
        here = text.line + text.buffer.count("\n", 0, position)
        raise UnreadableFile(f"There is more text after the end of the list, on line {here}. {_MEND_LIST}")


def _items(text: FileText, position: int) -> Iterator[tuple[int, object]]:
    """Yield the items of the list that begins here, with their lines; the buffer begins behind the list afterwards."""
    position = _after_space(text, position + 1)
    more = text.buffer[position : position + 1] != "]"
    line, counted = text.line, 0
    while more:
        if position > PIECE and 2 * position > len(
            text.buffer
        ):  # not at each item, which would copy the rest each time
            text.drop(position)
            line, counted, position = text.line, 0, 0
        line += text.buffer.count("\n", counted, position)
        counted = position
        try:
            value, position = _decoded_whole(text, position, MAX_LINE)
        except Refusal as refusal:
            raise UnreadableFile(f"In the list item on line {line}: {refusal}. {_MEND_LIST}") from None
        yield line, value
        position, more = _after_item(text, position)
    text.drop(position + 1)


def _after_item(text: FileText, position: int, closing: str = "]") -> tuple[int, bool]:
    """Return the position of the next item, or of the closing bracket, and whether there is a next item."""
    position = _after_space(text, position)
    separator = text.buffer[position : position + 1]
    if separator == ",":
        return _after_space(text, position + 1), True
    if separator == closing:
        return position, False
    here = text.line + text.buffer.count("\n", 0, position)
    what = "list" if closing == "]" else "object"
    raise UnreadableFile(f"The {what} lacks a comma or its closing bracket on line {here}. {_MEND_LIST}")


def _space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _after_space(text: FileText, position: int) -> int:
    """Return the position of the next character that is no space, reading on where the buffer ends before it."""
    begun = position
    position = _space(text.buffer, position)
    while position >= len(text.buffer) and position - begun < MAX_LINE and text.more():
        position = _space(text.buffer, position)
    return position


def _decoded_whole(text: FileText, position: int, most: int) -> tuple[object, int]:
    """Return the JSON value at `position` and its end, reading on where the buffer may end inside it."""
    while True:
        try:
            value, end = _decoded(text.buffer, position, text.line - 1, text.column)
        except _Broken:
            if len(text.buffer) - position > most or not _doubled(text):
                raise
        else:
            # What ends with the buffer may be the beginning of a longer number.
            if end < len(text.buffer) or not text.more():
                return value, end


def _doubled(text: FileText) -> bool:
    """Read on until the buffer is twice as long; return False at the end of the file."""
    wanted = 2 * len(text.buffer)
    before = len(text.buffer)
    while len(text.buffer) < wanted and text.more():
        pass
    return len(text.buffer) > before


class _Broken(Refusal):
    """Raised for JSON that is broken, or whose end is not read yet."""


def _decoded(text: str, position: int, lines: int = 0, columns: int = 0) -> tuple[object, int]:
    """Return the JSON value at `position` and its end, or a Refusal where there is none.

    `lines` and `columns` are how many stand before the text.
    """
    try:
        return _JSON.raw_decode(text, position)
    except json.JSONDecodeError as error:
        line, column = error.lineno + lines, error.colno + (columns if error.lineno == 1 else 0)
        where = f"line {line}, column" if line > 1 else "column"
        raise _Broken(f"broken JSON at {where} {column} ({error.msg})") from None
    except RecursionError:
        raise Refusal("broken JSON (nested too deeply)") from None
    except ValueError:  # Python refuses to read integers of thousands of digits
        raise Refusal("broken JSON (a number is too long)") from None


def _row(line: int, value: object) -> RawRow | RefusedRow:
    if isinstance(value, dict):
        return RawRow(line, value)
    return RefusedRow(line, f'the row is {KINDS[type(value)]}; write an object such as {{"text": "…"}}')
