"""Reads files of prompts, answers, votes and labels. No database here: the same bytes give the same rows.

reading        files to raw rows, piece by piece: JSONL, JSON, CSV, TSV, plain text, Parquet; gzip and zip
shapes         which tool wrote a row, and what each of its fields says
mapping        columns that a person names
spellings      names of fields and messages in one spelling
conversations  messages as roles and texts
transcripts    conversations in one text, by their marks
rows           items to rows as they are stored, every text cleaned
batches        files of any length: their first rows, or some thousand rows at a time
folders        the data files of a folder, and data sets of a Hugging Face hub

A row that cannot be used is refused with its line and what to do about it; the others are still taken. Every field of
every row is used or counted as not used. A row whose unused fields look like answers, votes, labels or a conversation
is refused until they are mapped or marked as ignored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from django.utils.translation import gettext

from annotation.imports import mapping as mappings
from annotation.imports.fields import Fields, telling, without_copies
from annotation.imports.items import Item
from annotation.imports.raw import RawRow
from annotation.imports.reading import MAX_FILE_BYTES, MAX_ROWS, columns_of, read_rows
from annotation.imports.refusals import Refusal, RefusedRow, UnknownColumns, UnreadableFile
from annotation.imports.rows import (
    AnswerRow,
    LabelRow,
    LabelVote,
    PairRow,
    PromptRow,
    VoteRow,
    label_row,
    moment,
    prompt_row,
)
from annotation.imports.shapes import PLAIN, SHAPES, shape_of
from annotation.imports.spellings import in_one_spelling

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_ROWS",
    "SHAPES",
    "AnswerRow",
    "LabelRow",
    "LabelVote",
    "PairRow",
    "ParsedPrompts",
    "PromptRow",
    "Reading",
    "RefusedRow",
    "UnknownColumns",
    "UnreadableFile",
    "VoteRow",
    "columns_of",
    "parse_file",
    "parse_prompts",
    "parse_rows",
    "shape_choices",
    "shape_label",
]
LABELLED = "labelled"
MAPPED = "mapped"
UNDATED = "a date that cannot be read"  # counted among the fields that are not used


@dataclass(frozen=True)
class Reading:
    """How a file is to be read: `shape` is a name in SHAPES or empty, `ignore` are fields to leave out."""

    mapping: Mapping[str, str] = field(default_factory=dict)
    labels: bool = False
    shape: str = ""
    ignore: tuple[str, ...] = ()

    def checked(self) -> Reading:
        """Return it without empty entries; an UnreadableFile where a shape or a field is not known."""
        if self.shape and self.shape not in SHAPES:
            raise UnreadableFile(f"There is no shape {self.shape!r}. Shapes: {', '.join(SHAPES)}.")
        return Reading(mappings.check(self.mapping), self.labels, self.shape, tuple(self.ignore))


@dataclass(frozen=True)
class ParsedPrompts:
    """Everything a file holds, each list in the order of the file. `not_used` and `stopping` count rows by field."""

    rows: list[PromptRow]
    refused: list[RefusedRow]
    labels: list[LabelRow] = field(default_factory=list)
    not_used: Counter[str] = field(default_factory=Counter, compare=False)
    stopping: Counter[str] = field(default_factory=Counter, compare=False)
    shapes: Counter[str] = field(default_factory=Counter, compare=False)
    count: Counter[str] = field(default_factory=Counter, compare=False)  # "rows" of the file, "more" behind them

    @property
    def is_whole(self) -> bool:
        """Return whether this is the whole file, and not only its first rows."""
        return not self.count["more"]


def parse_prompts(
    data: bytes,
    filename: str,
    mapping: Mapping[str, str] | None = None,
    *,
    labels: bool = False,
    shape: str = "",
    ignore: Iterable[str] = (),
) -> ParsedPrompts:
    """Return what is in `data`: prompts with all they bring, and labelled texts. Duplicates are kept."""
    return parse_file(data, filename, Reading(mapping or {}, labels, shape, tuple(ignore)))


def parse_file(data: bytes, filename: str, reading: Reading) -> ParsedPrompts:
    """Return what is in `data`, read as a person wants it."""
    reading = reading.checked()
    return parse_rows(read_rows(data, filename, mappings.columns_named(reading.mapping)), reading)


def parse_rows(
    found: Iterable[RawRow | RefusedRow], reading: Reading | None = None, *, before: str = PLAIN
) -> ParsedPrompts:
    """Return what raw rows hold; `before` is the shape of the rows before them."""
    reading = reading or Reading()
    parsed = ParsedPrompts(rows=[], refused=[])
    for each in _gathered(found, reading):
        parsed.count["rows"] += 1
        if isinstance(each, RefusedRow):
            parsed.refused.append(each)
            continue
        try:
            before = _parse(each, reading, parsed, before)
        except Refusal as refusal:
            where = f"{each.file}: " if each.file else ""
            parsed.refused.append(RefusedRow(each.line, f"{where}{refusal}"))
    return parsed


def _gathered(found: Iterable[RawRow | RefusedRow], reading: Reading) -> Iterator[RawRow | RefusedRow]:
    """Yield the rows; those of a shape whose rows belong together as one row for each whole."""
    rows = iter(found)
    first = next(rows, None)
    if first is None:
        return
    if isinstance(first, RawRow) and not reading.mapping:
        gather = SHAPES[reading.shape or shape_of(Fields(in_one_spelling(first.fields)[0]))].gather
        if gather:
            whole = [first, *rows]
            yield from (row for row in whole if isinstance(row, RefusedRow))
            raw = [row for row in whole if isinstance(row, RawRow)]
            line_of = {row.fields.get("message_id", row.fields.get("custom_id")): row.line for row in reversed(raw)}
            for tree in gather([row.fields for row in raw]):
                prompt = tree.get("prompt")
                root = prompt.get("message_id") if isinstance(prompt, dict) else tree.get("custom_id")
                yield RawRow(line_of.get(root, first.line), tree)
            return
    yield first
    yield from rows


def _parse(raw: RawRow, reading: Reading, parsed: ParsedPrompts, before: str) -> str:
    """Add what one row holds to `parsed`, all of it or nothing, and return the name of its shape."""
    given = {name: value for name, value in raw.fields.items() if name not in reading.ignore}
    data, renamed = in_one_spelling(given, renamed=not reading.mapping)
    fields = Fields(data, names=renamed)
    name = _shape_name(fields, reading, before)
    rows, labels, undated = _checked(raw.line, name, fields, reading)
    unused = fields.unused()
    if unused:
        unused = without_copies(unused, _texts(rows, labels))
    left = Fields({key: value for key, value in raw.fields.items() if key in reading.ignore}).unused()
    parsed.not_used.update([*unused, *left, *undated])
    parsed.shapes[name] += 1
    stopping = [each for each in telling(unused, fields.describing(), fields.judgments()) if each not in reading.ignore]
    if stopping:
        parsed.stopping.update(stopping)
        names = ", ".join(f'"{each[:60]}"' for each in stopping[:8])
        if len(stopping) > 1:
            raise Refusal(
                f"{names} look like answers, votes, labels or a conversation and are not used; say what they are "
                "(columns), or that they are to be ignored"
            )
        raise Refusal(
            f"{names} looks like answers, votes, labels or a conversation and is not used; say what it is (columns), "
            "or that it is to be ignored"
        )
    parsed.rows.extend(rows)
    parsed.labels.extend(labels)
    return name


def _texts(rows: list[PromptRow], labels: list[LabelRow]) -> set[str]:
    """Return every text that is stored of a row."""
    found = {label.text for label in labels} | {vote.label for label in labels for vote in label.votes}
    for row in rows:
        found |= {turn["content"] for turn in row.messages} | set(row.completions) | set(row.references)
    return found


def _shape_name(fields: Fields, reading: Reading, before: str) -> str:
    if reading.mapping:
        return MAPPED
    name = reading.shape or shape_of(fields, before)
    return LABELLED if reading.labels and name == PLAIN else name


def _checked(
    line: int, name: str, fields: Fields, reading: Reading
) -> tuple[list[PromptRow], list[LabelRow], set[str]]:
    """Return the rows and labelled texts of a row, and its dates that cannot be read, which are not used."""
    rows: list[PromptRow] = []
    labels: list[LabelRow] = []
    undated: set[str] = set()
    for item in _items(name, fields, reading):
        has_label = item.label is not None or bool(item.labels)
        if reading.labels or (has_label and not item.answers and not item.votes):
            labels.append(label_row(line, item))
        elif has_label:
            raise Refusal('the row has a "label" beside answers, which nothing here can hold; ignore one of them')
        else:
            rows.append(prompt_row(line, item))
        dates = [vote.at for vote in item.votes] + [at for _, _, at in item.labels]
        undated |= {UNDATED for at in dates if at not in (None, "") and not moment(at)}
    return rows, labels, undated


def _items(name: str, fields: Fields, reading: Reading) -> Iterator[Item]:
    try:
        yield from mappings.read(fields, reading.mapping) if name == MAPPED else SHAPES[name].items(fields)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError, StopIteration) as problem:
        if isinstance(problem, Refusal):
            raise
        # A file of another tool may have any shape inside.
        raise Refusal("the row looks like one of another tool but has not its shape; export it again") from None


def shape_label(name: str) -> str:
    """Return the name of a shape as people read it, in the language of the page."""
    return gettext("Columns as mapped") if name == MAPPED else gettext(SHAPES[name].label) if name in SHAPES else name


def shape_choices() -> list[tuple[str, str]]:
    """Return every shape for a form, by label."""
    return sorted(((name, gettext(shape.label)) for name, shape in SHAPES.items()), key=lambda each: each[1])
