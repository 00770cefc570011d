"""Parsed rows as bytes, so that a file is read once for its preview, its import and its report."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from annotation.imports import AnswerRow, LabelRow, LabelVote, ParsedPrompts, PromptRow, RefusedRow, VoteRow

PLACES = ("unacceptable", "unranked")
COUNTERS = ("not_used", "stopping", "shapes", "count")


def dumps(parsed: ParsedPrompts) -> bytes:
    """Return parsed rows as gzipped JSON."""
    return gzip.compress(orjson.dumps(parsed), compresslevel=1, mtime=0)


def part(
    rows: Sequence[bytes], labels: Sequence[bytes], refused: Sequence[bytes], counters: Mapping[str, Counter[str]]
) -> bytes:
    """Return rows that are JSON already as `dumps` would write them."""
    lists = {"rows": rows, "labels": labels, "refused": refused}
    given: dict[str, Any] = {name: [orjson.Fragment(row) for row in some] for name, some in lists.items()}
    return gzip.compress(
        orjson.dumps(given | {name: counters.get(name, {}) for name in COUNTERS}), compresslevel=1, mtime=0
    )


def loads(data: bytes) -> ParsedPrompts:
    """Return the rows that `dumps` wrote."""
    given: dict[str, Any] = orjson.loads(gzip.decompress(data))
    return ParsedPrompts(
        rows=[_row(row) for row in given["rows"]],
        refused=[RefusedRow(**row) for row in given["refused"]],
        labels=[_labelled(row) for row in given["labels"]],
        **{name: Counter(given[name]) for name in COUNTERS},
    )


def _labelled(given: dict[str, Any]) -> LabelRow:
    return LabelRow(**given | {"votes": tuple(LabelVote(**vote) for vote in given["votes"])})


def _row(given: dict[str, Any]) -> PromptRow:
    answers = tuple(AnswerRow(**answer) for answer in given["answers"])
    votes = tuple(_vote(vote) for vote in given["votes"])
    return PromptRow(**given | {"answers": answers, "votes": votes, "more_references": tuple(given["more_references"])})


def _vote(given: dict[str, Any]) -> VoteRow:
    tiers = tuple(tuple(tier) for tier in given["tiers"])
    ratings = tuple((place, name, value) for place, name, value in given["ratings"])
    return VoteRow(**given | {"tiers": tiers, "ratings": ratings} | {name: tuple(given[name]) for name in PLACES})
