"""NeMo RL: a context and completions with ranks, 0 best. https://github.com/NVIDIA-NeMo/RL/blob/main/docs/guides/rm.md"""

from __future__ import annotations

from collections.abc import Iterator

from annotation.imports.fields import Fields
from annotation.imports.items import Item, number
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.shape import Shape


def ranked(fields: Fields) -> Iterator[Item]:
    """Read the completions, smallest rank first; equal ranks tie."""
    item = Item(fields.take("context"), "context", id=fields.take("id"))
    ranks = []
    for each in fields.take("completions"):
        answer = fields.sub(each, "completions")
        place = item.answer(answer.take("completion"))
        rank = number(answer.take("rank"))
        if rank is None:
            raise Refusal(f"completion {place + 1} has no rank that is a number; add it")
        ranks.append((place, -rank))
    item.rank(ranks)
    fields.describes("task_name")
    yield item


def _is_nemo(fields: Fields) -> bool:
    given = fields.peek("completions")
    return (
        "context" in fields
        and isinstance(given, list)
        and bool(given)
        and all(isinstance(each, dict) and {"rank", "completion"} <= set(each) for each in given)
    )


NEMO = Shape("NeMo RL preference", _is_nemo, ranked)
