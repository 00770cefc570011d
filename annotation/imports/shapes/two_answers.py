"""Data sets with two answers and a column that says which is better: PKU-SafeRLHF, SHP, PandaLM, LLMBar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import Item, number, texts_below
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.pairs import who_said_it
from annotation.imports.shapes.shape import Shape, columns
from annotation.imports.verdicts import is_tie, vote_of

PKU_ABOUT = re.compile(r"response_[01]_(harm_category|severity_level|source|sha256)|prompt_source")
ANNOTATOR = re.compile(r"annotator_?\d+$")


def pku(fields: Fields) -> Iterator[Item]:
    """Read PKU-SafeRLHF: the better answer by its number, and whether each is safe as a rating.

    https://huggingface.co/datasets/PKU-Alignment/PKU-SafeRLHF. Which is safer is another question: a rating, too.
    """
    item = Item(fields.take("prompt"), id=fields.take("id"))
    places = item.answer(fields.take("response_0")), item.answer(fields.take("response_1"))
    better = number(fields.take("better_response_id"))
    if better not in (0, 1):
        raise Refusal('"better_response_id" is neither 0 nor 1; correct it')
    item.prefer(places[int(better)], places[1 - int(better)], **who_said_it(fields))
    for place in places:
        safe = fields.take(f"is_response_{place}_safe")
        if isinstance(safe, bool):
            item.votes[-1].ratings[place] = {"safe": float(safe)}
    if (safer := number(fields.peek("safer_response_id"))) in (0, 1):
        fields.take("safer_response_id")
        for place in places:
            item.votes[-1].ratings.setdefault(place, {})["safer"] = float(place == safer)
    fields.describes("safer_response_id", *(name for name in fields if PKU_ABOUT.fullmatch(name)))
    yield item


def shp(fields: Fields) -> Iterator[Item]:
    """Read Stanford's SHP: label 1 says that A is better, 0 that B is. https://huggingface.co/datasets/stanfordnlp/SHP"""
    item = Item(fields.take("history"), "history", category=fields.take("domain"))
    sides = [fields.take(f"human_ref_{side}", f"human_ref_{side.lower()}") for side in "AB"]
    places = item.answer(sides[0]), item.answer(sides[1])
    label = number(fields.take("labels"))
    if label not in (0, 1):
        raise Refusal('"labels" is neither 0 nor 1; correct it')
    item.prefer(*(places if label == 1 else places[::-1]), **who_said_it(fields))
    for place, side in zip(places, "AB", strict=True):
        if (score := number(fields.take(f"score_{side}", f"score_{side.lower()}"))) is not None:
            item.votes[-1].ratings[place] = {"score": score}
    fields.describes("score_ratio", "upvote_ratio", "seconds_difference", "post_id")
    yield item


def pandalm(fields: Fields) -> Iterator[Item]:
    """Read PandaLM's test set: each annotator says 1, 2, or 0 for a tie. https://github.com/WeOpenML/PandaLM"""
    item = Item(
        texts_below(fields.take("instruction"), fields.take("input")), "instruction", id=fields.take("idx", "id")
    )
    places = item.answer(fields.take("response1")), item.answer(fields.take("response2"))
    for name in sorted(name for name in fields.data if ANNOTATOR.match(name) and name in fields):
        _choose(item, places, fields.take(name), name, annotator=name)
    fields.describes("motivation_app", "cmp_key")
    yield item


def llmbar(fields: Fields) -> Iterator[Item]:
    """Read LLMBar: two outputs and the number of the better one. https://github.com/princeton-nlp/LLMBar"""
    item = Item(texts_below(fields.take("instruction"), fields.take("input")), "input", id=fields.take("id"))
    places = item.answer(fields.take("output_1")), item.answer(fields.take("output_2"))
    _choose(item, places, fields.take("label"), "label", **who_said_it(fields))
    yield item


def _choose(item: Item, places: tuple[int, int], given: Any, name: str, **said: Any) -> None:
    value = number(given)
    if value == 0:
        item.tie(*places, **said)
    elif value in (1, 2):
        item.prefer(*(places if value == 1 else places[::-1]), **said)
    elif is_tie(given):
        item.votes.append(vote_of({}, 2, given, name, **said))
    else:
        raise Refusal(f'"{name}" is none of 1, 2 and 0 for a tie; correct it')


def _is_pandalm(fields: Fields) -> bool:
    return fields.has("response1", "response2") and any(ANNOTATOR.match(name) for name in fields.data)


PKU = Shape(
    "PKU-SafeRLHF",
    lambda fields: fields.has("prompt", "response_0", "response_1") and "better_response_id" in fields.data,
    pku,
    (columns("response_0", "response_1", "better_response_id"),),
)
SHP = Shape(
    "Stanford SHP",
    lambda fields: (
        "history" in fields
        and "labels" in fields
        and (fields.has("human_ref_A", "human_ref_B") or fields.has("human_ref_a", "human_ref_b"))
    ),
    shp,
    (columns("history", "human_ref_a", "human_ref_b"),),
)
PANDALM = Shape("PandaLM", _is_pandalm, pandalm, (columns("instruction", "response1", "response2", "annotator1"),))
LLMBAR = Shape(
    "LLMBar",
    lambda fields: fields.has("input", "output_1", "output_2", "label"),
    llmbar,
    (columns("input", "output_1", "output_2", "label"),),
)
