"""UltraFeedback: four scored answers, or their best and another. https://huggingface.co/datasets/openbmb/UltraFeedback"""

from __future__ import annotations

from collections.abc import Iterator

from annotation.imports.fields import Fields
from annotation.imports.items import Item, number
from annotation.imports.shapes.pairs import add_preference, add_scores, repeats_pair
from annotation.imports.shapes.shape import Shape


def raw(fields: Fields) -> Iterator[Item]:
    """Read the answers, ordered by their overall score (equal scores tie); single ratings are kept beside it."""
    item = Item(fields.take("instruction"), "instruction", id=fields.take("id"))
    scored, ratings = [], {}
    for each in fields.take("completions"):
        answer = fields.sub(each, "completions")
        place = item.answer(answer.take("response"), answer.take("model"))
        answer.describes(*answer.data)  # critiques and the way to ask for them
        given = {}
        for name, judged in (answer.peek("annotations") or {}).items():
            value = number((judged[0] if isinstance(judged, list) and judged else judged or {}).get("Rating"))
            if value is not None:
                given[name] = value
        overall = number(answer.take("overall_score"))
        fine = number(answer.take("fine-grained_score"))
        if overall is not None:
            scored.append((place, overall))
            given["overall_score"] = overall
        if fine is not None:
            given["fine-grained_score"] = fine
        if given:
            ratings[place] = given
    if len(scored) == len(item.answers):
        item.rank(scored, ratings=ratings)
    fields.describes("source", "models", "correct_answers", "incorrect_answers")
    yield item


def binarized(fields: Fields) -> Iterator[Item]:
    """Read the question, the chosen and the rejected conversation, and their scores."""
    asked = fields.take("prompt", "instruction")
    item = Item(asked, "prompt", id=fields.take("prompt_id", "id"), system=fields.take("system"))
    chosen = fields.take("chosen", "chosen_response")
    places = add_preference(item, chosen, fields.take("rejected", "rejected_response"))
    add_scores(fields, item, places)
    repeats_pair(fields, item)
    for place, name in zip(places, ("chosen_model", "rejected_model"), strict=True):
        item.answers[place].name = str(fields.take(name) or "")
    yield item


def _is_raw(fields: Fields) -> bool:
    answers = fields.peek("completions")
    return (
        "instruction" in fields
        and isinstance(answers, list)
        and bool(answers)
        and all(isinstance(each, dict) and "response" in each for each in answers)
    )


def _is_binarized(fields: Fields) -> bool:
    whole = all(isinstance(fields.peek(name), list) for name in ("chosen", "rejected"))
    return (whole and fields.has("prompt", "score_chosen", "score_rejected")) or fields.has(
        "instruction", "chosen_response", "rejected_response"
    )


RAW = Shape("UltraFeedback", _is_raw, raw)
BINARIZED = Shape("UltraFeedback binarized", _is_binarized, binarized)
