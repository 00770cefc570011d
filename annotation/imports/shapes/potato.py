"""Potato: items with a list of answers, and what people said of them. https://github.com/davidjurgens/potato

An item's annotations are choices by scheme (`label_annotations` or `annotations`): a choice names an answer by its
letter, its number or its text. Pairwise schemes write a `selection` or a `scale_value` (below 0 the first is better),
rankings a `rank_order`, best-worst scaling `best` and `worst` (docs/annotation-types/comparison of the project).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import ImportedVote, Item, number
from annotation.imports.shapes.shape import Shape
from annotation.imports.verdicts import is_tie, vote_of

LISTS = ("responses", "displayed_text", "options", "items", "texts")
SAID = ("label_annotations", "annotations")


def items(fields: Fields) -> Iterator[Item]:
    """Read an item with its answers, and one person's choices where it has some."""
    item = Item(id=fields.take("id", "instance_id"))
    item.prompt = fields.take("prompt", "instruction", "question", "context", "text")
    name = next(name for name in LISTS if isinstance(fields.peek(name), list))
    places = {}
    for number_of, each in enumerate(fields.take(name)):
        answer = fields.sub(each, name) if isinstance(each, dict) else None
        text = answer.take("text", "response", "content") if answer else each
        place = item.answer(text, answer.take("model", "name", "id") if answer else "")
        for known in (chr(97 + number_of), str(number_of + 1), str(text).lower(), f"response {chr(97 + number_of)}"):
            places[known] = place
    annotator = fields.take("user_id", "user", "annotator") or ""
    for said in SAID:
        schemes = fields.child(said)
        for scheme in list(schemes.data):
            if _take_scheme(item, places, schemes.peek(scheme), scheme, annotator):
                schemes.take(scheme)
            else:
                schemes.judges(scheme)
    fields.describes("span_annotations", "behavioral_data", "displayed_text", "model_names")
    yield item


def _take_scheme(item: Item, places: dict[str, int], value: Any, scheme: str, annotator: Any) -> bool:
    """Take one scheme: a chosen answer, a tie, an order, or a rating of an answer; False where it is none of these."""
    if isinstance(value, dict) and _take_comparison(item, places, value, annotator):
        return True
    chosen = (
        [key for key, marked in value.items() if marked not in (None, False, "", "false")]
        if isinstance(value, dict)
        else [value]
    )
    if isinstance(value, list):
        chosen = value
    known = [places.get(str(each).strip().lower()) for each in chosen]
    if isinstance(value, list) and len(known) > 1 and None not in known:
        item.votes.append(ImportedVote([[place] for place in known if place is not None], annotator=annotator))
    elif len(chosen) == 1 and known[0] is not None:
        others = [place for place in range(len(item.answers)) if place != known[0]]
        item.votes.append(
            ImportedVote([[known[0]], others], unranked=others if len(others) > 1 else [], annotator=annotator)
        )
    elif len(chosen) == 1 and is_tie(chosen[0]):
        item.votes.append(vote_of(places, len(item.answers), chosen[0], scheme, annotator=annotator))
    elif isinstance(value, dict) and None not in known and all(number(mark) is not None for mark in value.values()):
        ratings = {
            place: {scheme: number(value[key]) or 0.0}
            for key, place in zip(chosen, known, strict=True)
            if place is not None
        }
        rated = sorted(ratings)
        item.votes.append(ImportedVote([rated], unranked=rated, ratings=ratings, annotator=annotator))
    else:
        return False
    return True


def _take_comparison(item: Item, places: dict[str, int], value: dict[str, Any], annotator: Any) -> bool:
    """Take what the schemes pairwise, ranking and bws write; False for other schemes."""
    everyone = list(range(len(item.answers)))
    scale = number(value.get("scale_value"))
    if set(value) <= {"selection", "justification"} and "selection" in value:
        item.votes.append(vote_of(places, len(everyone), value["selection"], "selection", annotator=annotator))
    elif set(value) <= {"scale_value", "justification"} and scale is not None and len(everyone) == 2:
        tiers = [[0, 1]] if scale == 0 else [[0], [1]] if scale < 0 else [[1], [0]]
        item.votes.append(ImportedVote(tiers, annotator=annotator))
    elif set(value) == {"rank_order"} and isinstance(value["rank_order"], str):
        item.votes.append(vote_of(places, len(everyone), value["rank_order"], "rank_order", annotator=annotator))
    elif set(value) == {"best", "worst"}:
        ends = [places.get(str(value[name]).strip().lower()) for name in ("best", "worst")]
        best, worst = ends
        if best is None or worst is None or best == worst:
            return False
        middle = [place for place in everyone if place not in ends]
        tiers = [tier for tier in ([best], middle, [worst]) if tier]
        item.votes.append(ImportedVote(tiers, unranked=middle if len(middle) > 1 else [], annotator=annotator))
    else:
        return False
    if isinstance(why := value.get("justification"), str):
        item.votes[-1].rationale = why
    return True


def _is_potato(fields: Fields) -> bool:
    listed = any(isinstance(fields.peek(name), list) and fields.peek(name) for name in LISTS)
    texts = [each for name in LISTS if isinstance(fields.peek(name), list) for each in fields.peek(name)]
    plain = all(
        isinstance(each, str) or (isinstance(each, dict) and set(each) & {"text", "response", "content"})
        for each in texts
    )
    prompted = any(
        isinstance(fields.peek(name), str) for name in ("prompt", "instruction", "question", "context", "text")
    )
    return listed and plain and prompted


POTATO = Shape("Potato", _is_potato, items)
