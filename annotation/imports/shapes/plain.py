"""Rows in our own words: text, prompt or messages; completions, pairs, reference, label, id and category."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import Item, is_messages
from annotation.imports.refusals import KINDS, Refusal
from annotation.imports.shapes.shape import Shape, columns

PROMPT_FIELDS = ("text", "prompt", "messages")
MAX_COMPLETIONS = 100


def plain(fields: Fields) -> Iterator[Item]:
    """Read a prompt with the answers and preferences that stand beside it."""
    item = Item(id=fields.take("id"), category=fields.take("category"))
    _take_prompt(fields, item)
    if "system" in fields and isinstance(fields.peek("system"), str):
        item.system = fields.take("system")
    if "history" in fields and isinstance(fields.peek("history"), list):
        item.history = fields.take("history")
    reference = fields.take("reference")
    item.references += reference if isinstance(reference, list) and not is_messages(reference) else [reference]
    for text in _answers(fields.take("completions"), fields.take("completion")):
        item.answer(text)
    pairs = fields.take("pairs")
    for pair in pairs if isinstance(pairs, list) else []:
        _pair(fields.sub(pair, "pairs"), item)
    fields.describes("split", "prompt_id", "source", "finished", "tools")
    yield item


def _take_prompt(fields: Fields, item: Item) -> None:
    # Tools that write a table as JSON put null where there is no value: null is no second prompt.
    given = [name for name in PROMPT_FIELDS if name in fields]
    if len(given) > 1:
        names = " and ".join(f'"{name}"' for name in given)
        raise Refusal(f"{names} are both given; keep one of them")
    if not given:
        null = next((name for name in PROMPT_FIELDS if name in fields.data), None)
        if null:
            raise Refusal(f'"{null}" is null; write the prompt there')
        there = ", ".join(f'"{fields.names.get(name, name)[:40]}"' for name in list(fields)[:8])
        which = f", or say which of {there} is the prompt (columns)" if there else ""
        raise Refusal(f'the row has no "text", "prompt" or "messages"; add one of them{which}')
    item.prompt, item.field = fields.take(given[0]), given[0]


def _answers(several: Any, one: Any) -> list[Any]:
    if several is None:
        several = [] if one is None else [one]
    if not isinstance(several, list):
        raise Refusal(f'"completions" is {KINDS[type(several)]}; write a list of texts')
    if len(several) > MAX_COMPLETIONS:
        raise Refusal(f'"completions" has {len(several):,} texts; keep at most {MAX_COMPLETIONS}')
    return several


def _pair(given: Fields, item: Item) -> None:
    for name in ("chosen", "rejected"):
        if name not in given:
            raise Refusal(f'the row has no "{name}"; a preference needs both answers')
    places = item.answer(given.take("chosen"), field="chosen"), item.answer(given.take("rejected"), field="rejected")
    item.prefer(*places, margin=given.take("margin"), annotator=given.take("annotator") or "")


PLAIN = Shape("Prefloop rows", lambda _: True, plain, (columns("text"), columns("prompt")))
