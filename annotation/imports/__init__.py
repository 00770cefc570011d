"""Reads files of prompts, answers, preferences and labels. No database here: the same bytes always give the same rows
and the same refusals.

reading   bytes to raw rows: JSONL, JSON, CSV, TSV, plain text, Parquet; gzip
foreign   rows of other tools in our words
rows      raw rows to prompts and labelled texts
batches   files of any length, some thousand rows at a time
hub       data sets of a Hugging Face hub

A row that cannot be used is refused with its line and what to do about it; the others are still taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from annotation.imports.foreign import native
from annotation.imports.reading import MAX_FILE_BYTES, MAX_ROWS, RawRow, columns_of, read_rows
from annotation.imports.refusals import Refusal, RefusedRow, UnknownColumns, UnreadableFile
from annotation.imports.rows import LabelRow, PairRow, PromptRow, label_row, prompt_row

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_ROWS",
    "LabelRow",
    "PairRow",
    "ParsedPrompts",
    "PromptRow",
    "RefusedRow",
    "UnknownColumns",
    "UnreadableFile",
    "columns_of",
    "parse_prompts",
    "parse_rows",
]


@dataclass(frozen=True)
class ParsedPrompts:
    """Everything a file holds, each list in the order of the file."""

    rows: list[PromptRow]
    refused: list[RefusedRow]
    labels: list[LabelRow] = field(default_factory=list)


def parse_prompts(
    data: bytes, filename: str, mapping: Mapping[str, str] | None = None, *, labels: bool = False
) -> ParsedPrompts:
    """Read what is in `data`: prompts with all they bring, or labelled texts. Duplicates are kept."""
    return parse_rows(read_rows(data, filename, mapping), labels=labels)


def parse_rows(found: Iterable[RawRow | RefusedRow], *, labels: bool = False) -> ParsedPrompts:
    parsed = ParsedPrompts(rows=[], refused=[])
    for each in found:
        if isinstance(each, RefusedRow):
            parsed.refused.append(each)
            continue
        try:
            native_rows = list(_native_rows(each))  # all of them or none
            if labels:
                parsed.labels.extend([label_row(row) for row in native_rows])
            else:
                parsed.rows.extend([prompt_row(row) for row in native_rows])
        except Refusal as refusal:
            parsed.refused.append(RefusedRow(each.line, str(refusal)))
    return parsed


def _native_rows(raw: RawRow) -> Iterator[RawRow]:
    try:
        for fields in native(raw.fields):
            yield RawRow(raw.line, fields)
    except (AttributeError, KeyError, TypeError, RecursionError):
        # A file of another tool may have any shape inside.
        raise Refusal("the row looks like one of another tool but has not its shape; export it again") from None
