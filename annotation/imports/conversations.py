"""Conversations in their many spellings, as a list of messages with the roles system, user and assistant."""

from __future__ import annotations

import json
import re
from contextlib import suppress
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
    **dict.fromkeys(("function_call", "tool_call"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "tool_response"), "user"),
}
CALLS = ("function_call", "tool_call")
RESULTS = ("tool", "function", "observation", "ipython", "tool_response")
# As Qwen and Hermes write them; their templates, too, put results into a turn of the user.
RESULT = "<tool_response>\n{}\n</tool_response>"
CALL = "<tool_call>\n{}\n</tool_call>"
TEXT_PARTS = ("text", "input_text", "output_text")
TOOL_PARTS = (
    *("tool_use", "tool_result", "functionCall", "functionResponse", "function_call", "function_response"),
    *("toolUse", "toolResult"),
)
SHAPE = '{"role": "user", "content": "…"}'
_OWN_TURN = re.compile(r"(?:^|\n\n)(System|User|Assistant): ")


def messages_of(value: Any, field: str = "messages") -> list[dict[str, Any]]:
    """Return messages with known roles and their content as text; a Refusal names the message and its field.

    Calls of tools and their results stay in the conversation as text. System messages at the beginning become one.
    """
    if not isinstance(value, list):
        raise Refusal(f'"{field}" is {KINDS[type(value)]}; write a list of messages such as {SHAPE}')
    if not value:
        raise Refusal(f'"{field}" is an empty list; add a message such as {SHAPE}')
    found: list[dict[str, Any]] = []
    after_result = False
    for number, each in enumerate(value, start=1):
        turn = _message(number, each, field)
        is_result = str(each.get("role", each.get("from"))).lower() in RESULTS
        if found and (_are_systems(found, turn) or (is_result and after_result)):
            found[-1] = {**turn, "content": f"{found[-1]['content']}\n\n{turn['content']}"}
        else:
            found.append(turn)
        after_result = is_result
    return found


def _are_systems(before: list[dict[str, Any]], turn: dict[str, Any]) -> bool:
    """Return whether a message is a further system text at the beginning of a conversation."""
    return len(before) == 1 and before[0]["role"] == turn["role"] == "system" and isinstance(turn["content"], str)


def _message(number: int, item: Any, field: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise Refusal(f'message {number} of "{field}" is {KINDS[type(item)]}; write {SHAPE}')
    if item.get("content", "") in (None, "") and calls_of(item):
        item = {**item, "content": ""}
    if item.get("content", "") in (None, "") and isinstance(item.get("refusal"), str) and item["refusal"]:
        item = {**item, "content": item["refusal"]}  # as OpenAI writes an answer that says no
    if "from" in item and "role" not in item:
        item = {"role": item["from"], "content": item.get("value"), **item}
    for name in ("role", "content"):
        if name not in item:
            raise Refusal(f'message {number} of "{field}" has no "{name}"; add it')
    role = item["role"]
    if not isinstance(role, str):
        raise Refusal(f'"role" of message {number} is {KINDS[type(role)]}; use system, user or assistant')
    if role.lower() not in ROLES:
        # Shown back to people, so without whatever it may hold that is not printable, and not at any length.
        raise Refusal(
            f'"role" of message {number} is {json.dumps(role[:40])}, which is unknown; use system, user or assistant'
        )
    return {"role": ROLES[role.lower()], "content": said_in(item, f'"content" of message {number}')}


def said_in(message: dict[str, Any], label: str) -> Any:
    """Return the text of a message with the calls of tools in it; a message that is a call or a result is marked."""
    role = str(message["role"]).lower()
    content = message["content"]
    if role in CALLS:
        return content if isinstance(content, str) and "<tool_call>" in content else CALL.format(_as_json(content))
    if role in RESULTS:
        text = text_of(content, label)
        return text if isinstance(text, str) and "<tool_response>" in text else RESULT.format(_as_json(text))
    calls = [CALL.format(_as_json(call)) for call in calls_of(message)]
    if not calls:
        return text_of(content, label)
    return "\n".join([*([text_of(content, label)] if content else []), *calls])


def calls_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the calls of tools in a message: name and arguments, as OpenAI and older forms of it write them."""
    found = message.get("tool_calls") or []
    found = [found] if isinstance(found, dict) else found
    if isinstance(message.get("function_call"), dict):
        found = [*found, message["function_call"]]
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Refusal('"tool_calls" of a message is no list of objects; write each call as {"name": …, "arguments": …}')
    return [_call(each.get("function") if isinstance(each.get("function"), dict) else each) for each in found]


def _call(given: dict[str, Any]) -> dict[str, Any]:
    """Return the name and the arguments of a call, which some tools write as JSON in a text."""
    arguments: Any = next((given[name] for name in ("arguments", "args", "input", "parameters") if name in given), {})
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):  # then it stays as the model wrote it
            arguments = json.loads(arguments)
    if not isinstance(given.get("name"), str) or not given["name"]:
        raise Refusal('the call of a tool in a message has no "name"; write the name of the tool there')
    return {"name": given["name"], "arguments": arguments}


def _as_json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def text_of(value: Any, label: str) -> Any:
    """Return the text of content parts; anything else as it is. Parts that are no text are refused by their type."""
    if isinstance(value, dict) and (value.get("type") in TEXT_PARTS or set(value) == {"text"}):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        return value
    # Gemini's and Bedrock's parts have no type: a part with text is text.
    known = any("text" in each or each.keys() & set(TOOL_PARTS) for each in value)
    if not known and not all("type" in each for each in value):
        return value
    texts = []
    for part in value:
        kind = part.get("type", "text" if "text" in part else next(iter(part), "nothing"))
        if kind in TOOL_PARTS:
            texts.append(_tool_part(kind, part))
            continue
        if kind == "refusal" and isinstance(part.get("refusal"), str):
            texts.append(part["refusal"])
            continue
        if kind not in TEXT_PARTS:
            raise Refusal(f"{label} has a part of type {json.dumps(str(kind)[:40])}; only text can be judged here")
        if not isinstance(part.get("text"), str):
            raise Refusal(f'{label} has a part without "text"; write it there')
        texts.append(part["text"])
    return "\n".join(texts)


def _tool_part(kind: str, part: dict[str, Any]) -> str:
    """Return a call or a result that is a part of a message, as Anthropic, Gemini and Bedrock write them."""
    inside = part.get(kind)
    given = inside if isinstance(inside, dict) else part
    if kind in ("tool_use", "functionCall", "function_call", "toolUse"):
        return CALL.format(_as_json(_call(given)))
    said = next((given[name] for name in ("content", "response", "output") if name in given), "")
    return RESULT.format(_as_json(text_of(said, "the result of a tool")))


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
