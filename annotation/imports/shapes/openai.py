"""OpenAI: chats to imitate, and preference fine-tuning.

https://platform.openai.com/docs/guides/supervised-fine-tuning, …/direct-preference-optimization
"""

from __future__ import annotations

from collections.abc import Iterator

from annotation.imports.conversations import ROLES, messages_of
from annotation.imports.fields import Fields
from annotation.imports.items import Item, is_messages
from annotation.imports.shapes.pairs import add_preference
from annotation.imports.shapes.shape import Shape

ASSISTANT = {name for name, role in ROLES.items() if role == "assistant"}


def chat(fields: Fields) -> Iterator[Item]:
    """Read a conversation; one that ends with an answer gives a prompt and its reference answer."""
    turns = messages_of(fields.take("messages"))
    item = Item(id=fields.take("id"), category=fields.take("category"), field="messages", system=fields.take("system"))
    if turns[-1]["role"] == "assistant" and len(turns) > 1:
        item.references.append(turns.pop()["content"])
    item.prompt = turns
    if "reference" in fields:
        item.references.append(fields.take("reference"))
    fields.describes("tools", "parallel_tool_calls", "functions", "prompt", "prompt_id")
    yield item


def preference(fields: Fields) -> Iterator[Item]:
    """Read a conversation with a preferred and a non-preferred output."""
    asked = fields.child("input")
    item = Item(asked.take("messages"), "input.messages", id=fields.take("id"))
    add_preference(item, fields.take("preferred_output"), fields.take("non_preferred_output"))
    asked.take("parallel_tool_calls")  # a switch of the trainer, no data
    asked.describes("tools")
    yield item


def _is_chat(fields: Fields) -> bool:
    said = fields.peek("messages")
    return (
        is_messages(said)
        and len(said) > 1
        and str(said[-1].get("role", said[-1].get("from"))).lower() in ASSISTANT
        and not any(
            name in fields for name in ("completions", "completion", "chosen", "rejected", "pairs", "text", "label")
        )
    )


def _is_preference(fields: Fields) -> bool:
    return "preferred_output" in fields and "non_preferred_output" in fields


CHAT = Shape("OpenAI messages", _is_chat, chat)
PREFERENCE = Shape("OpenAI preference fine-tuning", _is_preference, preference)
