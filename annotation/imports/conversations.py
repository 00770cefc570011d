"""Conversations in their many spellings, as a list of messages with the roles system, user and assistant."""

from __future__ import annotations

import json
import re
from typing import Any

from annotation.imports.refusals import KINDS, Refusal

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "ai": "assistant",
    "llm": "assistant",
    "bing": "assistant",
    "bard": "assistant",
}
TOOL_ROLES = {"tool", "function", "observation", "function_call", "tool_call", "ipython"}
TEXT_PARTS = ("text", "input_text", "output_text")
SHAPE = '{"role": "user", "content": "…"}'
_OWN_TURN = re.compile(r"(?:^|\n\n)(System|User|Assistant): ")


def messages_of(value: Any, field: str = "messages") -> list[dict[str, Any]]:
    """Return messages with known roles and their content as text; a Refusal names the message and its field."""
    if not isinstance(value, list):
        raise Refusal(f'"{field}" is {KINDS[type(value)]}; write a list of messages such as {SHAPE}')
    if not value:
        raise Refusal(f'"{field}" is an empty list; add a message such as {SHAPE}')
    return [_message(number, each, field) for number, each in enumerate(value, start=1)]


def _message(number: int, item: Any, field: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise Refusal(f'message {number} of "{field}" is {KINDS[type(item)]}; write {SHAPE}')
    if "from" in item and "role" not in item:
        item = {"role": item["from"], "content": item.get("value"), **item}
    for name in ("role", "content"):
        if name not in item:
            raise Refusal(f'message {number} of "{field}" has no "{name}"; add it')
    role = item["role"]
    if not isinstance(role, str):
        raise Refusal(f'"role" of message {number} is {KINDS[type(role)]}; use system, user or assistant')
    if role.lower() in TOOL_ROLES or item.get("tool_calls") or item.get("function_call"):
        raise Refusal(
            f"message {number} is a tool turn ({json.dumps(role[:40])}); conversations with tools cannot be judged here"
        )
    if role.lower() not in ROLES:
        # Shown back to people, so without whatever it may hold that is not printable, and not at any length.
        raise Refusal(
            f'"role" of message {number} is {json.dumps(role[:40])}, which is unknown; use system, user or assistant'
        )
    role = ROLES[role.lower()]
    if role == "system" and number > 1:
        raise Refusal(f"message {number} is a system message; keep only one and put it first")
    return {"role": role, "content": text_of(item["content"], f'"content" of message {number}')}


def text_of(value: Any, label: str) -> Any:
    """Return the text of content parts; anything else as it is. Parts that are no text are refused by their type."""
    if isinstance(value, dict) and (value.get("type") in TEXT_PARTS or set(value) == {"text"}):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        return value
    # Gemini's and Bedrock's parts have no type: a part with text is text.
    if not all("type" in each or "text" in each for each in value) and not any("text" in each for each in value):
        return value
    for part in value:
        kind = part.get("type", "text" if "text" in part else next(iter(part), "nothing"))
        if kind not in TEXT_PARTS:
            raise Refusal(f"{label} has a part of type {json.dumps(str(kind)[:40])}; only text can be judged here")
        if not isinstance(part.get("text"), str):
            raise Refusal(f'{label} has a part without "text"; write it there')
    return "\n".join(part["text"] for part in value)


def own_conversation(text: Any) -> Any:
    """Return the messages of a conversation that an export wrote as one text; one question stays text."""
    if not isinstance(text, str) or not _OWN_TURN.match(text):
        return text
    parts = _OWN_TURN.split(text)
    if len(parts) < 5:  # one turn is written without its role
        return text
    return [{"role": speaker.lower(), "content": said} for speaker, said in zip(parts[1::2], parts[2::2], strict=True)]


def parted(chosen: list[Any], rejected: list[Any]) -> tuple[list[Any], Any, Any]:
    """Return the conversation that both share, and the two last answers."""
    if len(chosen) != len(rejected) or chosen[:-1] != rejected[:-1]:
        raise Refusal('"chosen" and "rejected" part before the last answer, so there is no prompt that both answer')
    return chosen[:-1], chosen[-1], rejected[-1]


def with_history(history: Any) -> list[dict[str, Any]]:
    """Return earlier turns as messages, out of messages or out of pairs of question and answer."""
    if history in (None, "", []):
        return []
    if not isinstance(history, list):
        raise Refusal(f'"history" is {KINDS[type(history)]}; write a list of [question, answer]')
    if all(isinstance(each, dict) for each in history):
        return messages_of(history, "history")
    found: list[dict[str, Any]] = []
    for number, each in enumerate(history, start=1):
        if not isinstance(each, (list, tuple)) or len(each) != 2:
            raise Refusal(f'entry {number} of "history" is no [question, answer]; write both in a list')
        for role, text in zip(("user", "assistant"), each, strict=True):
            if text not in (None, ""):  # an empty side has no turn
                found.append({"role": role, "content": text})
    return found
