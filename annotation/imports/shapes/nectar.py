"""Nectar: seven answers with their ranks. https://huggingface.co/datasets/berkeley-nest/Nectar"""

from __future__ import annotations

from collections.abc import Iterator

from annotation.imports.fields import Fields
from annotation.imports.items import Item, number
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.pairs import as_asked
from annotation.imports.shapes.shape import Shape


def ranked(fields: Fields) -> Iterator[Item]:
    """Read a transcript and its answers, rank 1 first; equal ranks tie."""
    item = Item(as_asked(fields.take("prompt")), id=fields.take("id"))
    ranks = []
    for each in fields.take("answers"):
        answer = fields.sub(each, "answers")
        place = item.answer(answer.take("answer"), answer.take("model"))
        rank = number(answer.take("rank"))
        if rank is None:
            raise Refusal(f"answer {place + 1} has no rank that is a number; add it")
        ranks.append((place, -rank))
    item.rank(ranks)
    fields.describes("turns", "num_responses", "source", "good_natured")
    yield item


def _is_nectar(fields: Fields) -> bool:
    answers = fields.peek("answers")
    return (
        "prompt" in fields
        and isinstance(answers, list)
        and bool(answers)
        and all(isinstance(each, dict) and {"answer", "rank"} <= set(each) for each in answers)
    )


NECTAR = Shape("Nectar", _is_nectar, ranked)
