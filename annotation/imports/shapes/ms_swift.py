"""Preferences of ms-swift: a conversation with the better answer, and the worse one beside it.

https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html
"""

from __future__ import annotations

from collections.abc import Iterator

from annotation.imports.fields import Fields
from annotation.imports.items import Item, is_messages
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.pairs import add_preference, who_said_it
from annotation.imports.shapes.shape import Shape

QUERIES = ("query", "prompt", "question", "instruction")


def preference(fields: Fields) -> Iterator[Item]:
    """Read a conversation that ends with the better answer; the worse one is a text or a conversation of its own."""
    item = Item(id=fields.take("id"), system=fields.take("system"), field="messages")
    if "messages" in fields:
        whole = fields.take("messages")
        if str(whole[-1].get("role", whole[-1].get("from"))).lower() not in ("assistant", "gpt"):
            raise Refusal('"messages" does not end with the better answer; end with an assistant message')
        item.prompt, chosen = whole[:-1], whole[-1]
        if "rejected_messages" in fields:
            item.prompt = None
            add_preference(item, whole, fields.take("rejected_messages"), **who_said_it(fields))
            yield item
            return
    else:
        name = next(name for name in QUERIES if name in fields)
        item.prompt, item.field, item.history = fields.take(name), name, fields.take("history")
        chosen = fields.take("response")
    add_preference(item, chosen, fields.take("rejected_response"), **who_said_it(fields))
    fields.describes("tools", "images", "videos", "audios", "objects", "channel")
    yield item


def _is_preference(fields: Fields) -> bool:
    if "chosen" in fields or "rejected" in fields:
        return False
    worse = "rejected_response" in fields or is_messages(fields.peek("rejected_messages"))
    asked = isinstance(fields.peek("response"), str) and any(name in fields for name in QUERIES)
    return worse and (is_messages(fields.peek("messages")) or (asked and "rejected_response" in fields))


PREFERENCE = Shape("ms-swift preference", _is_preference, preference)
