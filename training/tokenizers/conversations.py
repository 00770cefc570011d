"""Conversations in the forms that chat templates may want them in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from training.tokenizers.templates import ChatMessage

SYSTEM = ("system", "developer")
RESULTS = ("tool", "function")
# As Qwen and Hermes write them, whose templates, too, put results into a turn of the user.
CALL, RESULT = "<tool_call>\n{}\n</tool_call>", "<tool_response>\n{}\n</tool_response>"


def variants(messages: Sequence[ChatMessage]) -> Iterator[list[ChatMessage]]:
    """Yield the messages as they came, with one system message, and with its text in the first turn of the user.

    The same again with calls of tools and their results as text, where there are any. A template takes the first form
    that it does not refuse; nothing is left out of any of them.
    """
    plain = [_normal(message) for message in messages]
    yield from _by_system(plain)
    if any(message.get("role") in RESULTS or message.get("tool_calls") for message in plain):
        yield from _by_system(_tools_as_text(plain))


def _by_system(plain: list[ChatMessage]) -> Iterator[list[ChatMessage]]:
    yield plain
    told = [str(message["content"]) for message in plain if message.get("role") in SYSTEM and message.get("content")]
    turns = [message for message in plain if message.get("role") not in SYSTEM]
    if not told:
        return
    system = "\n\n".join(told)
    yield [{"role": "system", "content": system}, *turns]
    if turns and turns[0].get("role") == "user":
        yield [{**turns[0], "content": f"{system}\n\n{turns[0]['content']}"}, *turns[1:]]


def _tools_as_text(messages: list[ChatMessage]) -> list[ChatMessage]:
    """Return a conversation whose calls stand in the assistant's text and whose results are a turn of the user.

    Results one after the other are one turn, so that roles go on taking turns.
    """
    found: list[ChatMessage] = []
    after_result = False
    for message in messages:
        is_result = message.get("role") in RESULTS
        text = str(message.get("content") or "")
        turn: dict[str, Any]
        if is_result:
            turn = {"role": "user", "content": RESULT.format(text)}
        else:
            calls = [CALL.format(json.dumps(each, ensure_ascii=False)) for each in calls_of(message)]
            rest = {name: value for name, value in message.items() if name != "tool_calls"}
            turn = {**rest, "content": "\n".join([*([text] if text else []), *calls])}
        if is_result and after_result:
            found[-1] = {**turn, "content": f"{found[-1]['content']}\n\n{turn['content']}"}
        else:
            found.append(turn)
        after_result = is_result
    return found


def calls_of(message: ChatMessage) -> list[Mapping[str, Any]]:
    """Return name and arguments of each call of a tool in a message."""
    return [each.get("function", each) for each in message.get("tool_calls") or () if isinstance(each, Mapping)]


def without_oldest(messages: Sequence[ChatMessage]) -> list[ChatMessage] | None:
    """Return the conversation without its oldest exchange; None where only its last question is left.

    System messages stay, and what is left begins with a turn of the user, so that roles go on taking turns.
    """
    kept = list(messages)
    turns = [place for place, message in enumerate(kept) if message.get("role") == "user"]
    if len(turns) < 2:
        return None
    return [message for place, message in enumerate(kept) if place >= turns[1] or message.get("role") in SYSTEM]


def _normal(message: ChatMessage) -> ChatMessage:
    """Return a message as templates expect it: text parts as one text, the arguments of a call as an object.

    OpenAI writes the arguments as JSON in a text, of which most templates would make a text in quotes.
    """
    content = message.get("content")
    found = dict(message)
    if isinstance(content, list) and all(_is_text(part) for part in content):
        found["content"] = "".join(part if isinstance(part, str) else part["text"] for part in content)
    if message.get("tool_calls"):
        found["tool_calls"] = [_with_arguments(call) for call in message["tool_calls"]]
        found["content"] = found.get("content") or ""
    return found


def _with_arguments(call: Any) -> Any:
    if not isinstance(call, Mapping):
        return call
    if isinstance(call.get("function"), Mapping):
        return {**call, "function": _with_arguments(call["function"])}
    try:
        arguments = json.loads(call["arguments"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return call
    return {**call, "arguments": arguments} if isinstance(arguments, dict) else call


def _is_text(part: Any) -> bool:
    return isinstance(part, str) or (isinstance(part, Mapping) and isinstance(part.get("text"), str))
