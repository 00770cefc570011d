"""Results of Mechanical Turk as rows without its prefixes: Input.prompt is prompt, Answer.better.label is better.

https://docs.aws.amazon.com/AWSMechTurk/latest/AWSMechanicalTurkRequester/
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

INPUT, ANSWER = "input.", "answer."
PEOPLE = ("workerid", "worker id")
# Texts that a form shows; any other field of two with one name is the annotator's.
SHOWN = {"prompt", "question", "instruction", "query", "text", "context", "response", "answer", "completion", "output"}
SHOWN |= {f"{name}{dash}{side}" for name in SHOWN for dash in ("", "_", " ") for side in "ab12"}
TASK_ANSWERS = "taskanswers"  # of forms of crowd elements: a list with one object


def without_prefixes(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a row of results by the names of its form, and the name in the file of each field that got another one.

    A box for each answer, Answer.better.a and Answer.better.b, becomes the answer whose box is ticked.
    """
    found: dict[str, Any] = {}
    names: dict[str, str] = {}
    given = list(_fields_of(row))
    for name, value in given:
        new = _short(name)
        # What was shown and what was said may have one name: then one keeps its full one, and neither is lost.
        if any(_short(other) == new and said != value for other, said in given if other != name) and (
            (new.lower() in SHOWN) != name.lower().startswith(INPUT)
        ):
            new = name
        found[new] = value
        if new != name:
            names[new] = name
    return _ticked(found, names)


def _fields_of(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a row, those of a form of crowd elements one by one."""
    for name, value in row.items():
        if _short(name).lower() == TASK_ANSWERS:
            yield from ((f"{name}.{each}", said) for each, said in _of_form(value).items())
        else:
            yield name, value


def _short(name: str) -> str:
    """Return the name that a field has in its form: Answer.taskAnswers.better is better."""
    plain = name.lower()
    if plain in PEOPLE:
        return "worker_id"
    if plain.startswith(INPUT):
        return name[len(INPUT) :]
    if plain.startswith(ANSWER + TASK_ANSWERS + "."):
        return name[len(ANSWER + TASK_ANSWERS) + 1 :]
    if plain.startswith(TASK_ANSWERS + "."):
        return name[len(TASK_ANSWERS) + 1 :]
    return name[len(ANSWER) :].removesuffix(".label") if plain.startswith(ANSWER) else name


def is_crowd(row: dict[str, Any]) -> bool:
    """Return whether a row is a result of Mechanical Turk."""
    plain = {name.lower() for name in row}
    return bool({"hitid", "hit id"} & plain) and any(name.startswith(ANSWER) for name in plain)


def _of_form(value: Any) -> dict[str, Any]:
    try:
        given = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return {"taskAnswers": value}
    given = given[0] if isinstance(given, list) and len(given) == 1 else given
    return {name: _one_of(said) for name, said in given.items()} if isinstance(given, dict) else {"taskAnswers": value}


def _one_of(said: Any) -> Any:
    """Return the name of the one button that is on; of any other value the value."""
    on = [name for name, value in said.items() if value is True] if isinstance(said, dict) else []
    return on[0] if len(on) == 1 and all(isinstance(value, bool) for value in said.values()) else said


def _ticked(found: dict[str, Any], names: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the row with one field for each group of boxes of which one is ticked."""
    groups: dict[str, dict[str, Any]] = {}
    for name in names:
        group, dot, box = name.rpartition(".")
        if dot and str(found[name]).strip().lower() in ("true", "false"):
            groups.setdefault(group, {})[box] = str(found[name]).strip().lower() == "true"
    for group, boxes in groups.items():
        if len(boxes) > 1 and sum(boxes.values()) == 1:
            for box in boxes:
                del found[f"{group}.{box}"]
                file_name = names.pop(f"{group}.{box}")
            found[group], names[group] = next(box for box, on in boxes.items() if on), file_name.rpartition(".")[0]
    return found, names
