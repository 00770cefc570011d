"""Traces and evaluations with their output, what was expected, and what people said of it.

Langfuse, Phoenix, Opik, MLflow and runs of LangSmith write one list of feedback for each trace. Of evaluators that are
programs nothing is taken: they are no people.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import ImportedVote, Item, number
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.asked import THUMBS, UP
from annotation.imports.shapes.shape import Shape
from annotation.imports.shapes.traces import answer_in, ask_in
from annotation.stats.unpaired import ACCEPTABLE

INPUTS = ("inputs", "input", "request", "attributes.input.value")
OUTPUTS = ("outputs", "output", "response", "attributes.output.value")
EXPECTED = ("expectations", "expectedOutput", "expected_output", "expected", "ground_truth", "ideal")
FEEDBACK = ("feedback_scores", "scores", "annotations", "assessments", "feedback")
NAMES = ("name", "key", "assessment_name", "annotation_name", "feedback_key")
PEOPLE = ("authorUserId", "author_user_id", "user_id", "source_id", "created_by", "annotator", "identifier")
REASONS = ("comment", "reason", "explanation", "rationale")
DATES = ("timestamp", "created_at", "createdAt", "create_time")
VALUES = ("value", "score", "feedback", "result", "label", "stringValue", "string_value")
KINDS = ("annotator_kind", "source_type", "source")
PROGRAMS = {"llm", "code", "llm_judge", "ai_judge", "eval", "online_scoring", "heuristic"}
# What else a tool writes of one piece of feedback.
ABOUT = ("id", "traceId", "trace_id", "observationId", "dataType", "metadata", "updatedAt", "configId", "queueId")


def evaluated(fields: Fields) -> Iterator[Item]:
    """Read an output as an answer with everybody's feedback, and what was expected as the reference answer."""
    item = Item(id=fields.take("id", "trace_id", "example_id"))
    ask_in(fields, _first(fields, INPUTS), item)
    expected = _first(fields, EXPECTED)
    if expected:
        item.references.append(answer_in(fields, expected))
    place = item.answer(answer_in(fields, _first(fields, OUTPUTS)), fields.take("model", "model_name") or "")
    name = _list_of(fields)
    if name:
        entries = [fields.sub(each, name) for each in fields.take(name)]
    else:
        entries = [fields] if _is_one_feedback(fields) else []
    _vote(item, place, entries)
    fields.describes("run_id", "tags", "run_type", "session_id", "sessionId")
    yield item


def _vote(item: Item, place: int, entries: list[Fields]) -> None:
    """Add a vote for each person, with what that person said of the answer under each name."""
    votes: dict[tuple[str, int], ImportedVote] = {}
    times: dict[tuple[str, str], int] = {}
    for entry in entries:
        source = entry.child("source") if isinstance(entry.peek("source"), dict) else entry
        kind = str(next((source.peek(each) for each in KINDS if isinstance(source.peek(each), str)), "")).lower()
        if kind in PROGRAMS:
            entry.describes(*entry.data)
            continue
        source.describes(*KINDS)
        entry.describes(*ABOUT)
        name = str(entry.take(*NAMES))
        criterion, value = _rating(name, entry)
        person = str(source.take(*PEOPLE) or entry.take(*PEOPLE) or "")
        times[person, criterion] = times.get((person, criterion), 0) + 1
        key = person, times[person, criterion]
        if key not in votes:
            votes[key] = ImportedVote([[place]], ratings={place: {}}, annotator=person)
            item.votes.append(votes[key])
        vote = votes[key]
        vote.ratings[place][criterion] = value
        vote.at = vote.at or entry.take(*DATES)
        reason = entry.take(*REASONS) or ""
        vote.rationale = "\n\n".join(filter(None, (vote.rationale, reason))) if isinstance(reason, str) else reason
        if criterion == ACCEPTABLE and not value:
            vote.unacceptable = [place]


def _rating(name: str, entry: Fields) -> tuple[str, float]:
    """Return a criterion and a number; of yes and no 1 and 0. Raises a Refusal for any other text."""
    value = next((entry.peek(each) for each in VALUES if entry.peek(each) is not None), None)
    for each in VALUES:
        if each in entry and (each != "feedback" or isinstance(entry.peek(each), dict)):
            entry.take(each)
    if isinstance(value, dict):
        value = value.get("value", value.get("score"))
    # A number from 0 to 1 may be 1 by chance: it is yes or no only where the tool says so.
    says_yes_or_no = (
        not isinstance(value, (int, float)) or isinstance(value, bool) or entry.peek("dataType") == "BOOLEAN"
    )
    found = float(value) if isinstance(value, bool) else number(value)
    if found is None and isinstance(value, str) and value.strip().lower() in UP:
        found = float(UP[value.strip().lower()])
    if found is None:
        raise Refusal(
            f'the feedback "{name[:40]}" is {str(value)[:40]!r}, which is no number and neither good nor bad; '
            "leave it out of the file, or ignore the field"
        )
    is_thumb = name.lower().replace(" ", "_") in THUMBS and says_yes_or_no
    return ACCEPTABLE if is_thumb else name, found


def _first(fields: Fields, names: tuple[str, ...]) -> str:
    return next((name for name in names if name in fields), "")


def _list_of(fields: Fields) -> str:
    return next((name for name in FEEDBACK if _are_entries(fields.peek(name))), "")


def _are_entries(value: Any) -> bool:
    """Return whether this is a list of feedback, each with its name and what it says."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(each, dict)
            and any(isinstance(each.get(name), str) for name in NAMES)
            and any(name in each for name in VALUES)
            for each in value
        )
    )


def _is_one_feedback(fields: Fields) -> bool:
    """Return whether a row is one feedback on a run, as LangSmith exports them."""
    return isinstance(fields.peek("key"), str) and ("score" in fields or "value" in fields)


def _is_evaluated(fields: Fields) -> bool:
    asked, answered = _first(fields, INPUTS), _first(fields, OUTPUTS)
    if not asked or not answered or any(name in fields for name in ("chosen", "rejected", "instruction", "data")):
        return False
    judged = bool(_list_of(fields)) or (_is_one_feedback(fields) and "run_id" in fields)
    return judged or bool(_first(fields, EXPECTED))


EVALUATED = Shape("Traces with feedback", _is_evaluated, evaluated)
