"""Alpaca: instruction, input and output, with LLaMA-Factory's system, history and KTO tag.

https://github.com/tatsu-lab/stanford_alpaca, https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md
"""

from __future__ import annotations

from collections.abc import Iterator

from annotation.imports.fields import Fields
from annotation.imports.items import Item, is_messages, texts_below
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.shape import Shape, columns
from annotation.imports.shapes.trl import thumb


def alpaca(fields: Fields) -> Iterator[Item]:
    """Read an instruction with its input as one prompt, and its output as the reference answer."""
    item = asked(fields)
    output = fields.take("output", "response")
    if isinstance(output, list) and len(output) > 1 and not is_messages(output):
        raise Refusal(
            f'"output" is a list of {len(output)} answers, and nothing says which is better; '
            'name them "chosen" and "rejected", or "completions" where nobody has compared them'
        )
    if output not in (None, ""):
        item.references.append(output)
    fields.describes("text", "author", "edited", "proposal_id")
    yield item


def kto(fields: Fields) -> Iterator[Item]:
    """Read an instruction whose output is good or bad."""
    item = asked(fields)
    thumb(item, item.answer(fields.take("output", "response")), fields.take("kto_tag", "label"))
    yield item


def asked(fields: Fields) -> Item:
    """Return the prompt: the input is a paragraph below the instruction."""
    beside = "input" if "input" in fields or not isinstance(fields.peek("context"), str) else "context"
    prompt = texts_below(fields.take("instruction"), fields.take(beside))
    item = Item(prompt or None, "instruction", id=fields.take("id"), category=fields.take("category"))
    item.system, item.history = fields.take("system"), fields.take("history")
    return item


def _is_kto(fields: Fields) -> bool:
    tagged = any(isinstance(fields.peek(name), bool) for name in ("kto_tag", "label"))
    return "instruction" in fields and "output" in fields and tagged


def _is_alpaca(fields: Fields) -> bool:
    answered = "output" in fields or isinstance(fields.peek("response"), str)
    told = "instruction" in fields or (
        "input" in fields and "output" in fields and isinstance(fields.peek("input"), str)
    )
    return told and answered and not any(name in fields for name in ("prompt", "messages", "chosen", "rejected"))


ALPACA = Shape("Alpaca", _is_alpaca, alpaca, (columns("instruction", "output"), columns("instruction", "response")))
KTO = Shape("LLaMA-Factory Alpaca KTO", _is_kto, kto)
