"""Rows of CSV and TSV, under a header that names their columns."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Set
from typing import TYPE_CHECKING

from django.utils.translation import gettext_noop

from annotation.imports.fields import CRITERIA, Fields
from annotation.imports.raw import RawRow
from annotation.imports.refusals import RefusedRow, UnknownColumns, UnreadableFile
from annotation.imports.shapes import KNOWN_COLUMNS, PLAIN, shape_of
from annotation.imports.spellings import in_one_spelling
from annotation.imports.text import FileText

if TYPE_CHECKING:
    from _csv import Reader

DELIMITERS = {",": gettext_noop("a comma"), ";": gettext_noop("a semicolon"), "\t": gettext_noop("a tab")}
TEXT_COLUMNS = {"text", "prompt", "question", "instruction", "input", "output", "chosen", "rejected", "completion"}
TEXT_COLUMNS |= {"response", "answer", "reference", "answer1", "answer2", "response1", "response2"}
WRITTEN_OBJECT = re.compile(r"\[?\{'\w+': ")
WRITTEN = gettext_noop('"%(column)s" holds objects of Python written as text; save the table as JSONL or Parquet')
SEPARATOR = re.compile(r"\s*sep=([,;\t])[^\n]*\n")  # as Excel writes and reads it above a header
DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
NUMBERS = ("score", "scores", "rating", "reward", "margin", "weight", "quality", "overall", *CRITERIA)
WORDS_OF_NUMBERS = [frozenset(name.split("_")) for name in NUMBERS]  # an instruction is none, whose following is one
TOKEN = re.compile(r"[a-z]+")
INNER_CAPITAL = re.compile(r"[a-z][A-Z]|_[A-Z]\b")


def read_table(text: FileText, usual_delimiter: str, columns: Set[str]) -> Iterator[RawRow | RefusedRow]:
    """Yield the rows under a header that a shape knows, or that has the columns a person named."""
    needed: tuple[Set[str], ...] = (columns,) if columns else KNOWN_COLUMNS
    delimiter = drop_separator(text) or usual_delimiter
    first_line = text.line
    head = text.buffer  # the first piece of the file
    delimiter = _find_delimiter(head, delimiter, needed)
    # Two columns without a name would be one field, and of a row one of them lost.
    header = [name or f"column {place}" for place, name in enumerate(header_of(head, delimiter), start=1)]
    _check_names(header)
    if columns or not _is_known_by_its_first_row(head, delimiter, header):
        _check_header(header, needed, mapped=bool(columns))
    reader = _reader((f"{line}\n" for line in text.lines()), delimiter)
    before_header = True
    while True:
        line = reader.line_num + first_line
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield RefusedRow(line, _csv_reason(error, line, reader.line_num + first_line - 1))
            continue
        if not any(cells):
            continue
        if len(cells) > len(header) and not any(cells[len(header) :]):
            cells = cells[: len(header)]  # cells behind the last column that a program added
        if before_header:
            before_header = False
        elif len(cells) != len(header):
            yield RefusedRow(line, _columns_reason(len(cells), len(header), delimiter))
        else:
            row = {name: _cell(name, cell, delimiter) for name, cell in zip(header, cells, strict=True)}
            written = next((name for name, value in row.items() if _is_written_object(value)), None)
            if written:
                yield RefusedRow(line, WRITTEN % {"column": written})
            else:
                yield RawRow(line, row)


def drop_separator(text: FileText) -> str:
    """Drop the line above the header that says what parts the columns, and return that; empty without such a line."""
    said = SEPARATOR.match(text.buffer)
    if said is None:
        return ""
    text.drop(said.end())
    return said[1]


def _is_known_by_its_first_row(text: str, delimiter: str, header: list[str]) -> bool:
    """Return whether a shape recognises the first row below the header, so that columns need no mapping."""
    try:
        rows = (cells for cells in _csv_reader(text, delimiter) if any(cells))
        next(rows, None)
        cells = next(rows, None)
    except csv.Error:
        return False
    if cells is None or len(cells) != len(header) or len(set(header)) < len(header):
        return False
    first = {name: _cell(name, cell, delimiter) for name, cell in zip(header, cells, strict=True)}
    return shape_of(Fields(in_one_spelling(first)[0])) != PLAIN and not {"text", "prompt"} <= set(header)


def _cell(name: str, cell: str, delimiter: str) -> object:
    """Return a cell as text, or as the messages or objects that it holds as JSON.

    A list of numbers or words may be part of a text, so it is parsed only in columns that are not texts. Where
    semicolons part the columns, as where a comma is the decimal point, 4,5 is a number in a column of numbers.
    """
    if delimiter == ";" and DECIMAL_COMMA.fullmatch(cell) and _holds_numbers(name):
        return cell.replace(",", ".")
    if cell[:1] not in ("[", "{"):
        return cell
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        value = _of_python(cell)
    if value is None:
        return cell
    objects = isinstance(value, dict) or (isinstance(value, list) and value and all(isinstance(x, dict) for x in value))
    return value if objects or (isinstance(value, list) and name not in TEXT_COLUMNS) else cell


def _holds_numbers(name: str) -> bool:
    """Return whether a column is called as one of numbers is: rating, score_a, instruction_following_b."""
    words = set(TOKEN.findall(name.lower()))
    return any(each <= words for each in WORDS_OF_NUMBERS)


def _of_python(cell: str) -> object:
    """Return the list or object that a cell holds as Python writes it, as pandas does; None for anything else."""
    if not WRITTEN_OBJECT.match(cell):
        return None
    try:
        return ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _is_written_object(value: object) -> bool:
    """Return whether a cell holds messages as numpy writes them, without commas: they cannot be read back."""
    return isinstance(value, str) and WRITTEN_OBJECT.match(value) is not None and "'role'" in value


def _csv_reader(text: str, delimiter: str) -> Reader:
    # newline="\n" keeps StringIO from splitting at anything but \n. Strict, because otherwise a quote that is
    # never closed would silently swallow the rest of the file.
    return _reader(io.StringIO(text, newline="\n"), delimiter)


def _reader(lines: Iterable[str], delimiter: str) -> Reader:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)


def header_of(text: str, delimiter: str) -> list[str]:
    """Return the column names in small letters; an empty list where the first row cannot be read."""
    try:
        cells: list[str] = next((cells for cells in _csv_reader(text, delimiter) if any(cells)), [])
    except csv.Error:
        return []
    return [_name(cell.strip()) for cell in cells]


def _name(cell: str) -> str:
    """Return a column name in small letters; names like expectedOutput and human_ref_A stay as tools write them."""
    return cell if INNER_CAPITAL.search(cell) and " " not in cell else cell.lower()


def _find_delimiter(text: str, usual: str, needed: tuple[Set[str], ...]) -> str:
    """Return the delimiter that splits a usable header into most columns, or else the usual one."""

    def columns(delimiter: str) -> int:
        header = [name.lower() for name in header_of(text, delimiter)]
        return len(header) if any(names <= set(header) for names in needed) else 0

    found = max([usual, *DELIMITERS], key=columns)
    if columns(found) == 0:  # columns that no shape lists, but whose first row one knows
        known = [each for each in DELIMITERS if _is_known_by_its_first_row(text, each, header_of(text, each))]
        return known[0] if known else found
    return found


def _check_header(header: list[str], needed: tuple[Set[str], ...], *, mapped: bool) -> None:
    header = [name.lower() for name in header]
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


def _check_names(header: list[str]) -> None:
    """Raise UnreadableFile where two columns have one name: of a row one of them would be lost."""
    for name in header:
        if header.count(name) > 1:
            raise UnreadableFile(
                f'{header.count(name)} columns are called "{name[:40]}". Keep one of them, or give each its own name.'
            )


def _csv_reason(error: csv.Error, first_line: int, last_line: int) -> str:
    if last_line > first_line:
        text = gettext_noop(
            "lines %(first_line)s to %(last_line)s were read as one row (%(error)s); close every quoted cell and write "
            'a quote inside it twice ("")'
        )
        return text % {"first_line": first_line, "last_line": last_line, "error": error}
    return gettext_noop('broken CSV (%(error)s); close every quoted cell and write a quote inside it twice ("")') % {
        "error": error
    }


def _columns_reason(found: int, expected: int, delimiter: str) -> str:
    text = gettext_noop(
        "the row has %(found)s columns but the header has %(expected)s; leave an empty cell for a value that is missing"
    )
    if found > expected:
        text = gettext_noop(
            "the row has %(found)s columns but the header has %(expected)s; put text that contains %(delimiter)s in "
            "double quotes"
        )
    elif found == 1:
        text = gettext_noop(
            "the row has 1 column but the header has %(expected)s; leave an empty cell for a value that is missing"
        )
    return text % {"found": found, "expected": expected, "delimiter": DELIMITERS[delimiter]}
