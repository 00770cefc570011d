"""Rows of JSON: one object on each line, a list, or one object that holds the rows. Lists are read item by item."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from annotation.imports.objects import rows_in
from annotation.imports.packed import size_of
from annotation.imports.raw import RawRow
from annotation.imports.refusals import KINDS, Refusal, RefusedRow, UnreadableFile
from annotation.imports.text import MAX_LINE, PIECE, FileText

MAX_OBJECT = 50 * 2**20  # characters of one object that holds all rows: it is read as a whole
_MEND_LIST = "Mend it, or write one object on each line and save the file as .jsonl."
_JSON = json.JSONDecoder()
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
    try:
        value, end = _decoded_whole(text, start, MAX_OBJECT)
    except Refusal:
        if not text.ended and not _is_one_line(text.buffer):
            raise UnreadableFile(
                f"The file holds one JSON object of more than {size_of(MAX_OBJECT)}, which is read as a whole. "
                "Write one object on each line and save the file as .jsonl."
            ) from None
        value, end = None, start
    if not isinstance(value, dict) or _after_space(text, end) < len(text.buffer):
        yield from read_json_lines(text)
        return
    for number, row in enumerate(rows_in(value), start=1):  # the lines inside are not known
        yield _row(number, row)


def _is_one_line(text: str) -> bool:
    """Return whether the first line that is not blank looks like a whole object."""
    first = next((line for line in text[:MAX_LINE].split("\n") if line.strip()), "")
    return first.rstrip().endswith("}")


def _read_list(text: FileText) -> Iterator[RawRow | RefusedRow]:
    """Yield the items of a list one by one with their lines, which json.loads would lose."""
    position = _space(text.buffer, 0)
    if text.buffer[position] != "[":
        raise UnreadableFile(
            'A .json file must hold a list: [{"text": "…"}, …]. '
            "If yours has one object on each line, give it the extension .jsonl."
        )
    position = _after_space(text, position + 1)
    more = text.buffer[position : position + 1] != "]"
    line, counted = text.line, 0
    while more:
        if position > PIECE:  # not at each item, which would copy the rest of the piece each time
            text.drop(position)
            line, counted, position = text.line, 0, 0
        line += text.buffer.count("\n", counted, position)
        counted = position
        try:
            value, position = _decoded_whole(text, position, MAX_LINE)
        except Refusal as refusal:
            raise UnreadableFile(f"In the list item on line {line}: {refusal}. {_MEND_LIST}") from None
        yield _row(line, value)
        position, more = _after_item(text, position)
    position = _after_space(text, position + 1)
    if position < len(text.buffer):
        here = text.line + text.buffer.count("\n", 0, position)
        raise UnreadableFile(f"There is more text after the end of the list, on line {here}. {_MEND_LIST}")


def _after_item(text: FileText, position: int) -> tuple[int, bool]:
    """Return the position of the next item, or of the closing bracket, and whether there is a next item."""
    position = _after_space(text, position)
    separator = text.buffer[position : position + 1]
    if separator == ",":
        return _after_space(text, position + 1), True
    if separator == "]":
        return position, False
    here = text.line + text.buffer.count("\n", 0, position)
    raise UnreadableFile(f"The list lacks a comma or its closing bracket on line {here}. {_MEND_LIST}")


def _space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _after_space(text: FileText, position: int) -> int:
    """Return the position of the next character that is no space, reading on where the buffer ends before it."""
    position = _space(text.buffer, position)
    while position >= len(text.buffer) and len(text.buffer) < MAX_OBJECT and text.more():
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
