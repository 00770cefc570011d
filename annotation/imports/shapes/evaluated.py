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
from annotation.imports.shapes.traces import answer_in, ask_in, opened, parsed
from annotation.stats.unpaired import ACCEPTABLE

INPUTS = ("inputs", "input", "request", "attributes.input.value")
OUTPUTS = ("outputs", "output", "actual_output", "response", "attributes.output.value")
EXPECTED = ("expectations", "expectedOutput", "expected_output", "expected", "ground_truth", "ideal")
FEEDBACK = ("feedback_scores", "scores", "annotations", "assessments", "feedback")
NAMES = ("name", "key", "assessment_name", "annotation_name", "feedback_key")
PEOPLE = ("authorUserId", "author_user_id", "user_id", "source_id", "created_by", "annotator", "identifier")
REASONS = ("comment", "reason", "explanation", "rationale")
DATES = ("timestamp", "created_at", "createdAt", "create_time")
VALUES = ("value", "score", "feedback", "result", "label", "stringValue", "string_value")
EXPECTATION = "expectation"  # of MLflow: what should have been answered, in the list of feedback
EXPECTED_ANSWERS = {"expected_response", "expected_answer", "expected_output", "ground_truth", "reference", "answer"}
SOURCES = ("source", "feedback_source")  # objects that say who or what gave a piece of feedback
KINDS = ("annotator_kind", "source_type", "source", "type")
PROGRAMS = {"llm", "code", "llm_judge", "ai_judge", "eval", "online_scoring", "heuristic", "model", "auto_eval"}
GOOD = UP | {
    **dict.fromkeys(("correct", "pass", "passed", "acceptable", "right"), True),
    **dict.fromkeys(("incorrect", "fail", "failed", "unacceptable", "wrong"), False),
}
# What else a tool writes of one piece of feedback.
ABOUT = (
    *("id", "traceId", "trace_id", "observationId", "dataType", "metadata", "updatedAt", "configId", "queueId"),
    *("assessment_id", "last_update_time", "overrides", "valid", "span_id", "error"),
)


def evaluated(fields: Fields) -> Iterator[Item]:
    """Read an output as an answer with everybody's feedback, and what was expected as the reference answer."""
    item = Item(id=fields.take("id", "trace_id", "example_id"))
    ask_in(fields, _first(fields, INPUTS), item)
    expected = _first(fields, EXPECTED)
    if expected:
        item.references.append(answer_in(fields, expected))
    place = item.answer(answer_in(fields, _first(fields, OUTPUTS)), fields.take("model", "model_name") or "")
    for name in _lists_of(fields):
        opened(fields, name)
    entries = [fields.sub(each, name) for name in _lists_of(fields) for each in fields.take(name)]
    _vote(item, place, entries or ([fields] if _is_one_feedback(fields) else []))
    fields.describes("run_id", "tags", "run_type", "session_id", "sessionId")
    yield item


def _vote(item: Item, place: int, entries: list[Fields]) -> None:
    """Add a vote for each person, with what that person said of the answer under each name."""
    votes: dict[tuple[str, int], ImportedVote] = {}
    times: dict[tuple[str, str], int] = {}
    for entry in entries:
        named = next((name for name in SOURCES if isinstance(entry.peek(name), dict)), "")
        source = entry.child(named) if named else entry
        source.describes(*KINDS, "metadata")
        entry.describes(*ABOUT)
        if not _says_something(entry, source):
            # The other fields of one feedback on a run are the run's.
            entry.describes(*NAMES, *VALUES, *REASONS, *DATES, *SOURCES, EXPECTATION)
            source.describes(*PEOPLE)
            continue
        name = str(entry.take(*NAMES))
        if entry.peek(EXPECTATION) is not None:
            _expect(item, name, entry)
            source.describes(*PEOPLE)
            continue
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


def _says_something(entry: Fields, source: Fields) -> bool:
    """Return whether a piece of feedback is what a person says, and has not been replaced by what was said later."""
    kind = str(next((source.peek(each) for each in KINDS if isinstance(source.peek(each), str)), "")).lower()
    has_value = any(entry.peek(each) is not None for each in (*VALUES, EXPECTATION))
    return has_value and kind not in PROGRAMS and entry.peek("valid") is not False


def _expect(item: Item, name: str, entry: Fields) -> None:
    """Add what a person would have answered as a reference answer; facts and guidelines of an answer are none."""
    value = entry.peek(EXPECTATION)
    value = value.get("value") if isinstance(value, dict) else value
    if isinstance(value, str) and name.lower() in EXPECTED_ANSWERS:
        entry.take(EXPECTATION)
        item.references.append(value)
    entry.describes(EXPECTATION, *REASONS, *DATES)


def _rating(name: str, entry: Fields) -> tuple[str, float]:
    """Return a criterion and a number; of yes and no 1 and 0. Raises a Refusal for any other text.

    A tool may write a rating several times, as a number and as its label. Numbers that differ refuse the row.
    """
    said = _said(entry)
    numbers = {field: found for field, value in said.items() if (found := number(value)) is not None}
    words = {field: good for field, value in said.items() if (good := _good(value)) is not None}
    if not numbers and not words:
        raise Refusal(
            f'the feedback "{name[:40]}" is {str(next(iter(said.values()), None))[:40]!r}, which is no number and '
            "neither good nor bad; leave it out of the file, or ignore the field"
        )
    _check_same(name, {field: str(found) for field, found in numbers.items()})
    yes_or_no = {field: found > 0 for field, found in numbers.items() if found in (0, 1)}
    _check_same(name, {**words, **yes_or_no} if len(yes_or_no) == len(numbers) else words)
    for field in {each.partition(".")[0] for each in (*numbers, *words)}:
        entry.take(field)
    entry.describes(*VALUES)  # a label beside a number is its name
    found = next(iter(numbers.values()), None)
    # A number from 0 to 1 may be 1 by chance: it is yes or no only where the tool says so.
    says_yes_or_no = found is None or entry.peek("dataType") == "BOOLEAN"
    is_thumb = name.lower().replace(" ", "_") in THUMBS and says_yes_or_no
    return ACCEPTABLE if is_thumb else name, float(next(iter(words.values()))) if found is None else found


def _said(entry: Fields) -> dict[str, Any]:
    """Return everything that a piece of feedback says as its value, by field; an object may hold number and label."""
    said: dict[str, Any] = {}
    for name in VALUES:
        value = entry.peek(name)
        if isinstance(value, dict):
            said |= {f"{name}.{key}": value[key] for key in ("value", "score", "label") if value.get(key) is not None}
        elif value is not None and name != "feedback":
            said[name] = value
    return said


def _good(value: Any) -> bool | None:
    """Return whether a value says good or bad in words, or as true or false; None for numbers and other texts."""
    if isinstance(value, bool):
        return value
    return GOOD.get(value.strip().lower()) if isinstance(value, str) and number(value) is None else None


def _check_same(name: str, said: dict[str, Any]) -> None:
    """Raise a Refusal where fields of one piece of feedback say different things."""
    if len(set(said.values())) > 1:
        (first, *_), (last, *_) = said.items(), reversed(said.items())
        raise Refusal(
            f'the feedback "{name[:40]}" says different things in "{first[0]}" and "{last[0]}"; '
            "leave one of them out of the file"
        )


def _first(fields: Fields, names: tuple[str, ...]) -> str:
    return next((name for name in names if name in fields), "")


def _lists_of(fields: Fields) -> list[str]:
    return [name for name in FEEDBACK if _are_entries(parsed(fields.peek(name)))]


def _are_entries(value: Any) -> bool:
    """Return whether this is a list of feedback, each with its name, and some with what they say."""
    return (
        isinstance(value, list)
        and all(isinstance(each, dict) and any(isinstance(each.get(name), str) for name in NAMES) for each in value)
        and any(name in each for each in value for name in (*VALUES, EXPECTATION))
    )


def _is_one_feedback(fields: Fields) -> bool:
    """Return whether a row is one feedback on a run, as LangSmith exports them."""
    return isinstance(fields.peek("key"), str) and ("score" in fields.data or "value" in fields.data)


def _is_evaluated(fields: Fields) -> bool:
    asked, answered = _first(fields, INPUTS), _first(fields, OUTPUTS)
    if not asked or not answered or any(name in fields for name in ("chosen", "rejected", "instruction", "data")):
        return False
    # Of a trace that nobody judged the list is empty; its output is no reference answer.
    unjudged = any(fields.peek(name) == [] for name in FEEDBACK)
    judged = unjudged or bool(_lists_of(fields)) or (_is_one_feedback(fields) and "run_id" in fields)
    return judged or bool(_first(fields, EXPECTED))


EVALUATED = Shape("Traces with feedback", _is_evaluated, evaluated)
