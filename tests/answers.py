"""Answers as an annotator's page sends them: about the texts by the numbers by which they were shown."""

from __future__ import annotations

import json
from typing import Any

from annotation.models import Assignment

NAMING = ("tiers", "unacceptable", "ratings", "derived_from", "answer", "unranked")
NOT_SHOWN = 1000  # a number that no answer has


def as_shown(assignment: Assignment, answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that names completions by their ids with the numbers in their place."""

    def number(pk: Any) -> int:
        known = int(pk) in assignment.shown_order
        return assignment.number_of(int(pk)) if known else max(int(pk), NOT_SHOWN)

    said = {}
    for name, value in answer.items():
        given, is_text = value, isinstance(value, str)
        if name in ("tiers", "unacceptable", "ratings", "derived_from", "answer", "unranked") and value not in (
            "",
            None,
        ):
            try:
                given = json.loads(value) if is_text else value
                given = _translated(name, given, number)
            except (TypeError, ValueError, AttributeError, RecursionError):
                given, is_text = value, False  # not what a page would send: as it is
            given = json.dumps(given) if is_text else given
        said[name] = given
    return said


def _translated(name: str, value: Any, number: Any) -> Any:
    if name == "tiers":
        if not all(isinstance(pk, int) for tier in value for pk in tier):
            raise TypeError
        return [[number(pk) for pk in tier] for tier in value]
    if name in ("unacceptable", "unranked"):
        return [number(pk) for pk in value]
    if name == "ratings":
        return {str(number(pk)): rated for pk, rated in value.items()}
    return number(value)
