"""Answers in a list with a score or a rank for each: RRHF, distilabel, Vertex AI, Stack Exchange, and others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import Item, number
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.compared import ask
from annotation.imports.shapes.pairs import who_said_it
from annotation.imports.shapes.shape import Shape
from annotation.imports.verdicts import check_judged

LISTS = (
    *("completions", "responses", "generations", "answers", "candidates", "outputs", "replies", "samples"),
    *("responses_and_scores",),
)
TEXTS = ("text", "response", "answer", "completion", "content", "output", "generation", "body")
SCORES = ("score", "scores", "rating", "ratings", "reward", "rewards", "overall_score", "pm_score")
RANKS = ("rank", "ranks")  # 1 or 0 is best
MODELS = ("model", "model_name", "generator", "author", "policy", "source")
MODEL_LISTS = ("models", "generation_models", "model_names", "generators")


def listed(fields: Fields) -> Iterator[Item]:
    """Read the answers in the order of their scores, highest first, or of their ranks, lowest first; equal ones tie."""
    name = _list_of(fields) or ""
    item = ask(fields, besides=[name])
    given = fields.take(name)
    if isinstance(given[0], dict):
        word, values = _of_objects(fields, item, name, given)
    else:
        word = _beside(fields, len(given)) or ""
        models: list[Any] = next((fields.take(each) for each in MODEL_LISTS if isinstance(fields.peek(each), list)), [])
        for place, text in enumerate(given):
            item.answer(text, models[place] if place < len(models) else "")
        values = [number(value) for value in fields.take(word)]
    if None in values:
        raise Refusal(f"answer {values.index(None) + 1} has no {word} that is a number; add it or ignore {word!r}")
    scored = [(place, float(value or 0)) for place, value in enumerate(values)]
    ranks = word in RANKS
    ratings = {} if ranks else {place: {word.removesuffix("s"): value} for place, value in scored}
    ordered = [(place, -value if ranks else value) for place, value in scored]
    item.rank(ordered, ratings=ratings, **who_said_it(fields))
    check_judged(fields.data)
    fields.describes("rationales", "rationale", "metadata", "meta", "qid", "date", "distilabel_metadata")
    yield item


def _of_objects(fields: Fields, item: Item, name: str, given: list[Any]) -> tuple[str, list[float | None]]:
    word, text = _number_key(given), _text_key(given)
    values = []
    for each in given:
        answer = fields.sub(each, name)
        item.answer(answer.take(text), answer.take(*(key for key in MODELS if isinstance(each.get(key), str))))
        values.append(number(answer.take(word)))
        answer.describes("answer_id", "author", "author_id", "author_profile", "id", "selected")
    return word, values


def _list_of(fields: Fields) -> str | None:
    for name in LISTS:
        value = fields.peek(name)
        if not isinstance(value, list) or len(value) < 2:
            continue
        if all(isinstance(each, str) for each in value) and _beside(fields, len(value)):
            return name
        if all(isinstance(each, dict) for each in value) and _number_key(value) and _text_key(value):
            return name
    return None


def _beside(fields: Fields, length: int) -> str | None:
    for name in (*RANKS, *SCORES):
        value = fields.peek(name)
        if isinstance(value, list) and len(value) == length and any(number(each) is not None for each in value):
            return name
    return None


def _number_key(given: list[dict[str, Any]]) -> str:
    found = [name for name in (*RANKS, *SCORES) if any(number(each.get(name)) is not None for each in given)]
    return found[0] if len(found) == 1 else ""


def _text_key(given: list[dict[str, Any]]) -> str:
    return next((name for name in TEXTS if all(each.get(name) not in (None, "") for each in given)), "")


def _is_listed(fields: Fields) -> bool:
    return not fields.has("chosen", "rejected") and _list_of(fields) is not None


LISTED = Shape("Answers in a list with scores or ranks", _is_listed, listed)
