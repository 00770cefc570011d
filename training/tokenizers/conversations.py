"""Conversations in the forms that chat templates may want them in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from training.tokenizers.templates import ChatMessage

SYSTEM = ("system", "developer")


def variants(messages: Sequence[ChatMessage]) -> Iterator[list[ChatMessage]]:
    """Yield the messages as they came, with one system message, and with its text in the first turn of the user.

    A template takes the first form that it does not refuse; nothing is left out of any of them.
    """
    plain: list[ChatMessage] = [_with_text(message) for message in messages]
    yield plain
    told = [str(message["content"]) for message in plain if message.get("role") in SYSTEM and message.get("content")]
    turns = [message for message in plain if message.get("role") not in SYSTEM]
    if not told:
        return
    system = "\n\n".join(told)
    yield [{"role": "system", "content": system}, *turns]
    if turns and turns[0].get("role") == "user":
        yield [{**turns[0], "content": f"{system}\n\n{turns[0]['content']}"}, *turns[1:]]


def without_oldest(messages: Sequence[ChatMessage]) -> list[ChatMessage] | None:
    """Return the conversation without its oldest exchange; None where only its last question is left.

    System messages stay, and what is left begins with a turn of the user, so that roles go on taking turns.
    """
    kept = list(messages)
    turns = [place for place, message in enumerate(kept) if message.get("role") == "user"]
    if len(turns) < 2:
        return None
    return [message for place, message in enumerate(kept) if place >= turns[1] or message.get("role") in SYSTEM]


def _with_text(message: ChatMessage) -> dict[str, Any]:
    """Return a message whose content is text, where it came as a list of parts that are all text."""
    content = message.get("content")
    if isinstance(content, list) and all(_is_text(part) for part in content):
        return {**message, "content": "".join(part if isinstance(part, str) else part["text"] for part in content)}
    return dict(message)


def _is_text(part: Any) -> bool:
    return isinstance(part, str) or (isinstance(part, Mapping) and isinstance(part.get("text"), str))
