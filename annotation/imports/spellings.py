"""Rows as tools spell them, in one spelling: names of fields, lists of messages, numbers that are none.

Nothing is dropped here: a turn keeps its other keys, and a field that got another name is reported by its own.
"""

from __future__ import annotations

import json
import re
from typing import Any

from annotation.imports.conversations import ROLES
from annotation.imports.crowd import is_crowd, without_prefixes
from annotation.imports.languages import english

# Other names of fields that every shape knows.
NAMES = {
    **dict.fromkeys(
        ("systemInstruction", "system_instruction", "system_prompt", "systemPrompt", "system_message", "preamble"),
        "system",
    ),
    "contents": "messages",
    "interactions": "messages",
    "trajectory": "messages",
    "chat_messages": "messages",
    "chat_history": "history",
}
SPEAKER = ("role", "from", "author", "speaker", "sender")
SAID = ("content", "value", "parts", "message", "text")
# Fields that hold a conversation, whose turns may be pairs of texts, or texts in turn.
CONVERSATION = ("conversation", "conversations", "dialogue", "dialog", "history")
PAIRS = (("input", "output"), ("user", "assistant"), ("human", "assistant"), ("human", "gpt"), ("human", "bot"))
# Words for a better and a worse answer, alone or with one of the words for an answer before or after them.
PAIR_WORDS = (
    *(("chosen", "rejected"), ("preferred", "dispreferred"), ("preferred", "non_preferred"), ("preferred", "rejected")),
    *(("accepted", "rejected"), ("better", "worse"), ("y_w", "y_l")),
)
WITH_A_WORD = (("winner", "loser"), ("winning", "losing"), ("win", "lose"), ("good", "bad"), ("best", "worst"))
ANSWER_WORDS = (
    *("response", "answer", "completion", "output", "text", "generation", "reply", "messages", "conversation"),
    *("conversations", "summary", "message"),
)
ALL_PAIRS = (
    *PAIR_WORDS,
    *(
        pair
        for better, worse in (*PAIR_WORDS, *WITH_A_WORD)
        for pair in (
            *((f"{better}_{word}", f"{worse}_{word}") for word in ANSWER_WORDS),
            *((f"{word}_{better}", f"{word}_{worse}") for word in ANSWER_WORDS),
        )
    ),
)
BETTER = {better for better, _ in ALL_PAIRS}
OWN_PAIRS = ({"preferred_output", "non_preferred_output"}, {"instruction", "chosen_response", "rejected_response"})
AS_JSON = {"messages", "conversation_a", "conversation_b", "context", "prompt", "chosen", "rejected", *CONVERSATION}
TITLE = re.compile(r"[A-Z][A-Z0-9_ ]*|[A-Z][a-z0-9]*(?:[ _-][A-Za-z0-9]+)*|[a-z0-9]+(?: [A-Za-z0-9]+)+")
NESTED = ("input", "inputs", "fields", "data", "body")


def in_one_spelling(row: dict[str, Any], *, renamed: bool = True) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a row with usual names and messages, and the name in the file of each field that got another one.

    Without `renamed` the names stay: where a person named columns, they are those of the file.
    """
    found: dict[str, Any] = {}
    names: dict[str, str] = {}
    before: dict[str, str] = {}
    if renamed and is_crowd(row):
        row, before = without_prefixes(row)
    if renamed and _is_cohere(row):
        row, before = {**row, "prompt": row["message"]}, {**before, "prompt": "message"}
        del row["message"]
        if isinstance(row.get("text"), str):
            row, before = {**row, "response": row["text"]}, {**before, "response": "text"}
            del row["text"]
    for name, value in row.items():
        usual = _usual(name, row) if renamed else name
        if usual != name or name in before:
            names[usual] = before.get(name, name)
        found[usual] = _value(usual, value)
    # Some tools write accepted and rejected; a pair beside another "rejected" would take its place.
    pair = _pair_of(found) if renamed and "chosen" not in row else None
    if pair and ("rejected" not in row or pair[1] == "rejected"):
        for usual, name in zip(("chosen", "rejected"), pair, strict=True):
            names[usual] = names.pop(name, name)
            found[usual] = found.pop(name)
    if renamed and "system" not in found and _is_palm(row):
        found["system"] = found.pop("context")
        names["system"] = "context"
    return found, names


def _usual(name: str, row: dict[str, Any]) -> str:
    plain = NAMES.get(name) or english(name) or name
    if plain == "messages" and not _are_turns(row[name]):
        plain = name
    if plain == name and TITLE.fullmatch(name):
        plain = name.lower().replace(" ", "_")
    return name if plain != name and plain in row else plain


def _pair_of(found: dict[str, Any]) -> tuple[str, str] | None:
    """Return the names of a better and a worse answer under other names than chosen and rejected; None without both."""
    if any(own <= found.keys() for own in OWN_PAIRS):
        return None
    if found.keys().isdisjoint(BETTER):  # as of nearly every row: the pairs are some hundred
        return None
    return next((pair for pair in ALL_PAIRS if all(_is_said(found.get(name)) for name in pair)), None)


def _is_said(value: Any) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or (isinstance(value, list) and _are_turns(value))


def _is_palm(row: dict[str, Any]) -> bool:
    """Return whether a row is a chat of Google's PaLM, whose `context` is the system text."""
    turns = row.get("messages")
    authors = isinstance(turns, list) and all(isinstance(each, dict) and "author" in each for each in turns)
    return authors and isinstance(row.get("context"), str)


def _is_cohere(row: dict[str, Any]) -> bool:
    """Return whether a row is a chat of Cohere: the question is its `message`, the answer its `text`."""
    asked = isinstance(row.get("message"), str) and not {"prompt", "response", "messages"} & row.keys()
    return asked and isinstance(row.get("chat_history"), list)


def _value(name: str, value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value else None  # tables write "not a number" where there is no value
    if isinstance(value, str):
        return _from_json(value) if name in AS_JSON and value[:2] == "[{" else value
    if isinstance(value, dict):
        if columns := _in_columns(value):
            return columns
        if name in NESTED:
            return {key: _value(key, each) for key, each in value.items()}
        return _turn(value) or value
    if isinstance(value, list) and value:
        return _list(name, value)
    return value


def _list(name: str, value: list[Any]) -> list[Any]:
    if turns := _turns(value):
        return turns
    if all(isinstance(each, dict) for each in value):
        value = [{key: _parts(part) for key, part in each.items()} for each in value]
    if name not in CONVERSATION:
        return [each if each == each else None for each in value] if isinstance(value[0], float) else value
    if name != "history" and len(value) > 1 and all(isinstance(each, str) for each in value):
        return [{"role": ("user", "assistant")[at % 2], "content": each} for at, each in enumerate(value)]
    for pair in PAIRS:
        if all(isinstance(each, dict) and set(each) == set(pair) for each in value):
            sides = zip(("user", "assistant"), pair, strict=True)
            roles = list(sides)
            return [
                {"role": role, "content": each[key]}
                for each in value
                for role, key in roles
                if each[key] not in (None, "")
            ]
    return value


def _parts(value: Any) -> Any:
    """Return a message of Gemini's inside an object with role and content; anything else as it is."""
    return (_turn(value) or value) if isinstance(value, dict) and "parts" in value else value


def _from_json(value: str) -> Any:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    turns = _turns(found) if isinstance(found, list) and found else None
    return turns or value


def _in_columns(value: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return messages that stand as a list of speakers beside a list of texts; None for anything else."""
    for speaker, said in (("role", "content"), ("from", "value")):
        names, texts = value.get(speaker), value.get(said)
        if isinstance(names, list) and isinstance(texts, list) and len(names) == len(texts) > 0:
            lists = {key: each for key, each in value.items() if isinstance(each, list) and len(each) == len(names)}
            return [{key: each[at] for key, each in lists.items()} for at in range(len(names))]
    return None


def _are_turns(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and _turns(value) is not None


def _turns(value: list[Any]) -> list[dict[str, Any]] | None:
    """Return messages with role and content; None where one is no message in a known spelling."""
    if not isinstance(value[0], dict):
        return None
    found = [_turn(each) if isinstance(each, dict) else None for each in value]
    return None if None in found else [each for each in found if each]


def _turn(value: dict[str, Any]) -> dict[str, Any] | None:
    """Return a message with role and content; None where it is none. Those two spellings stay as they are."""
    if "role" in value and "content" not in value and value.get("tool_calls"):
        return {**value, "content": None}
    if ("role" in value and "content" in value) or ("from" in value and "value" in value):
        return value
    if "replies" in value:  # a tree of messages
        return None
    if isinstance(value.get("is_user"), bool) and "text" in value:
        others = {key: each for key, each in value.items() if key not in ("is_user", "text")}
        return {"role": "user" if value["is_user"] else "assistant", "content": value["text"], **others}
    speaker = next((key for key in SPEAKER if isinstance(value.get(key), str)), None)
    said = next((key for key in SAID if value.get(key) is not None), None)
    if said == "parts" and speaker is None and isinstance(value["parts"], list):
        return {"role": "user", "content": value["parts"]} | _others(value, "parts")
    if speaker is None or said is None or value[speaker].lower() not in ROLES:
        return None
    return {"role": value[speaker], "content": value[said]} | _others(value, speaker, said)


def _others(value: dict[str, Any], *used: str) -> dict[str, Any]:
    return {key: each for key, each in value.items() if key not in used}
