"""Reads feedback of end users as a product sends it. No database here: the same fields give the same row.

Texts are cleaned where those of files are; then personal data is masked in them, where the project asks for it. Every
field that cannot be used is named with what to do about it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from annotation.characters import is_storable
from annotation.imports.items import Answer, Item, number
from annotation.imports.refusals import Refusal
from annotation.imports.rows import prompt_row
from annotation.masking import Masker, has_email

MAX_KEY_LENGTH = 100  # as Feedback.key
MAX_USER_LENGTH = 100  # as Feedback.user
MAX_VERSION_LENGTH = 100  # as Feedback.version
MAX_COMMENT_LENGTH = 5_000
MAX_METADATA_LENGTH = 4_000  # characters of its JSON
MAX_SCORE = 1_000_000  # as the constraint of Feedback.score
MAX_ID = 10**18
SERVED_ID = re.compile(r"chatcmpl-[0-9a-f]{32}")
TEXTS = ("response", "alternative", "edit")
CHOICES = {"thumb": ("up", "down"), "chosen": ("response", "alternative", "tie")}
LINES = {"comment": MAX_COMMENT_LENGTH, "user": MAX_USER_LENGTH, "version": MAX_VERSION_LENGTH}
FIELDS = ("key", "prompt", "response_id", *TEXTS, *CHOICES, "score", "score_range", *LINES, "metadata")
SAME = "Is the same text as the response, personal data aside."
NO_ADDRESS = "Holds an email address. Send a hash or a UUID, which tells nobody who the end user is."


class InvalidFeedback(Exception):
    """Feedback that cannot be stored. `errors` are messages by field."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in errors.items()))
        self.errors = errors


@dataclass(frozen=True)
class FeedbackRow:
    """One feedback as it will be stored. `said` has the fields that were given, cleaned; None clears a field.

    `texts` are the response, the alternative and the edit, as far as they were given. `masked` counts what was masked
    in all of them, by kind.
    """

    key: str
    messages: list[dict[str, str]] | None = None
    response_id: int | None = None
    served: str = ""  # ID of a response that a served policy gave
    texts: dict[str, str] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    masked: dict[str, int] = field(default_factory=dict)


def feedback_row(given: Any, *, mask: bool = True) -> FeedbackRow:
    """Return one feedback with every text cleaned, and masked where `mask` says so.

    Raises InvalidFeedback with all that is wrong, by field.
    """
    if not isinstance(given, Mapping):
        raise InvalidFeedback({"detail": "Each feedback should be a JSON object."})
    errors = {
        str(name)[:100]: "There is no such field. What your product knows besides belongs into metadata."
        for name in given
        if name not in FIELDS
    }
    masker = Masker() if mask else None
    said = _said(given, masker, errors)
    key = _text(given.get("key"), MAX_KEY_LENGTH, "key", errors)
    if not key and "key" not in errors:
        errors["key"] = "Give each feedback a key of its own, such as a UUID, so that sending it again changes nothing."
    number_of, served = _response_id(given, errors)
    messages, texts = _texts(given, masker, errors)
    if masker:
        names = {"key": key, "user": said.get("user", "")}
        errors |= {name: NO_ADDRESS for name, value in names.items() if has_email(value)}
    if errors:
        raise InvalidFeedback(errors)
    return FeedbackRow(key, messages, number_of, served, texts, said, dict(masker.found) if masker else {})


def _said(given: Mapping[str, Any], masker: Masker | None, errors: dict[str, str]) -> dict[str, Any]:
    """Return what was said beside the texts."""
    said: dict[str, Any] = {}
    for name, values in CHOICES.items():
        if name in given:
            said[name] = given[name] or ""
            if given[name] is not None and given[name] not in values:
                errors[name] = f"Should be one of {', '.join(values)}."
    for name, limit in LINES.items():
        if name in given:
            said[name] = _text(given[name], limit, name, errors)
    if "score" in given:
        said["score"] = _score(given["score"], errors)
    if "score_range" in given:
        said["score_min"], said["score_max"] = _score_range(given["score_range"], errors)
    if "metadata" in given:
        said["metadata"] = _metadata(given["metadata"], errors)
    if masker:
        said |= {name: masker.value(said[name]) for name in ("comment", "metadata") if name in said}
    return said


def _text(value: Any, limit: int, name: str, errors: dict[str, str]) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        errors[name] = "Should be a text."
    elif len(value) > limit:
        errors[name] = f"Has {len(value):,} characters; at most {limit:,} are possible."
    else:
        return value.replace("\r\n", "\n").replace("\r", "\n").strip()
    return ""


def _score(value: Any, errors: dict[str, str]) -> float | None:
    if value is None:
        return None
    found = None if isinstance(value, str) else number(value)
    if found is None or abs(found) > MAX_SCORE:
        errors["score"] = f"Should be a number from -{MAX_SCORE:,} to {MAX_SCORE:,}."
    return found


def _score_range(value: Any, errors: dict[str, str]) -> tuple[float | None, float | None]:
    if value is None:
        return None, None
    ends = value if isinstance(value, list) and len(value) == 2 else []
    low, high = [None if isinstance(end, str) else number(end) for end in ends] or (None, None)
    if low is None or high is None or not -MAX_SCORE <= low < high <= MAX_SCORE:
        errors["score_range"] = (
            f"Should be two numbers from -{MAX_SCORE:,} to {MAX_SCORE:,}, the lower one first, such as [1, 5]."
        )
        return None, None
    return low, high


def _metadata(value: Any, errors: dict[str, str]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        errors["metadata"] = "Should be a JSON object."
    elif not is_storable(value):
        errors["metadata"] = "Holds a number that JSON has no spelling for, such as NaN."
    elif (length := len(json.dumps(value, ensure_ascii=False))) > MAX_METADATA_LENGTH:
        errors["metadata"] = f"Has {length:,} characters as JSON; at most {MAX_METADATA_LENGTH:,} are possible."
    else:
        return value
    return {}


def _response_id(given: Mapping[str, Any], errors: dict[str, str]) -> tuple[int | None, str]:
    """Return the ID of a response of the project, or that of one which a served policy gave."""
    value = given.get("response_id")
    if value is None:
        return None, ""
    is_served = isinstance(value, str) and SERVED_ID.fullmatch(value) is not None
    is_id = isinstance(value, int) and not isinstance(value, bool) and 0 < value < MAX_ID
    if not is_served and not is_id:
        errors["response_id"] = "Should be the ID of a response: a whole number, or what a served policy gave as id."
    elif given.get("prompt") is not None or given.get("response") is not None:
        errors["response_id"] = "Give either the ID of a response, or prompt and response."
    elif is_served:
        return None, value
    else:
        return value, ""
    return None, ""


def _texts(
    given: Mapping[str, Any], masker: Masker | None, errors: dict[str, str]
) -> tuple[list[dict[str, str]] | None, dict[str, str]]:
    """Return the messages of the prompt, where it is given, and the other texts by field; an edit may be cleared."""
    prompt = given.get("prompt")
    named = [name for name in TEXTS if given.get(name) is not None]
    if prompt is None and "response" in named:
        errors["prompt"] = "A response needs its prompt: a text, or a list of messages."
    elif prompt is not None and "response" not in named:
        errors["response"] = "A prompt needs the response that the end user saw."
    texts = {}
    for name in named:
        try:
            texts[name] = _answer(name, given[name])
        except Refusal as refusal:
            errors[name] = _sentence(refusal)
    messages = None
    if prompt is not None:
        try:
            answers = [Answer(given[name], field=name) for name in named if name in texts]
            row = prompt_row(1, Item(prompt=prompt, answers=answers))
            messages = row.messages
            if len(row.completions) == len(texts):  # without the end of a turn that its template writes
                texts = dict(zip(texts, row.completions, strict=True))
        except Refusal as refusal:
            errors["prompt"] = _sentence(refusal)
    if masker:
        messages = messages and [{**message, "content": masker.text(message["content"])} for message in messages]
        texts = {name: masker.text(text) for name, text in texts.items()}
    for name in ("alternative", "edit"):
        if name in texts and texts[name] == texts.get("response"):
            errors[name] = SAME
    if given.get("edit") is None and "edit" in given:
        texts["edit"] = ""
    return messages, texts


def _answer(name: str, value: Any) -> str:
    """Return a response as it is stored."""
    row = prompt_row(1, Item(prompt="-", answers=[Answer(value, field=name)]))
    return row.completions[0]


def _sentence(refusal: Refusal) -> str:
    text = str(refusal).replace("; write something there or delete the row", "; write something there")
    return f"{text[:1].upper()}{text[1:]}."
