"""ShareGPT conversations, alone and as LLaMA-Factory's preference and KTO data.

https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md
"""

from __future__ import annotations

from collections.abc import Iterator

from annotation.imports.conversations import messages_of
from annotation.imports.fields import Fields
from annotation.imports.items import Item, is_messages
from annotation.imports.shapes.pairs import add_preference
from annotation.imports.shapes.shape import Shape
from annotation.imports.shapes.trl import thumb

ASKED = ("conversations", "conversation", "messages")


def conversation(fields: Fields) -> Iterator[Item]:
    """Read a conversation; one that ends with an answer gives a prompt and its reference answer."""
    item, turns = _begun(fields)
    if turns[-1]["role"] == "assistant" and len(turns) > 1:
        item.references.append(turns.pop()["content"])
    item.prompt = turns
    yield item


def preference(fields: Fields) -> Iterator[Item]:
    """Read a conversation with a better and a worse answer."""
    item, turns = _begun(fields)
    item.prompt = turns
    add_preference(item, _said(fields.take("chosen")), _said(fields.take("rejected")))
    yield item


def kto(fields: Fields) -> Iterator[Item]:
    """Read a conversation whose last answer is good or bad."""
    item, turns = _begun(fields)
    place = item.answer(turns.pop()["content"])
    item.prompt = turns
    thumb(item, place, fields.take("label", "kto_tag"))
    yield item


def _begun(fields: Fields) -> tuple[Item, list[dict[str, object]]]:
    name = next(name for name in ASKED if name in fields)
    turns = messages_of(fields.take(name), name)
    if turns[0]["role"] == "assistant" and len(turns) == 1:
        turns = list(turns)
    fields.describes("tools", "model")
    return Item(field=name, system=fields.take("system"), id=fields.take("id"), category=fields.take("category")), turns


def _said(value: object) -> object:
    """Return the text of one turn; anything else as it is."""
    if isinstance(value, dict) and "value" in value:
        return value["value"]
    return value


def _is_conversation(fields: Fields) -> bool:
    turns = any(is_messages(fields.peek(name)) for name in ("conversations", "conversation"))
    return turns and not any(name in fields for name in ("chosen", "rejected"))


def _is_preference(fields: Fields) -> bool:
    turns = any(is_messages(fields.peek(name)) for name in ASKED)
    return turns and all(isinstance(fields.peek(name), dict) for name in ("chosen", "rejected"))


def _is_kto(fields: Fields) -> bool:
    said = next((fields.peek(name) for name in ("conversations", "messages") if is_messages(fields.peek(name))), None)
    tagged = any(isinstance(fields.peek(name), bool) for name in ("label", "kto_tag"))
    return bool(said) and len(said or []) > 1 and tagged and "completion" not in fields


CONVERSATION = Shape("ShareGPT", _is_conversation, conversation)
PREFERENCE = Shape("LLaMA-Factory ShareGPT preference", _is_preference, preference)
KTO = Shape("LLaMA-Factory ShareGPT KTO", _is_kto, kto)
