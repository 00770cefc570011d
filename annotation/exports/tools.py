"""Calls of tools and their results as fields of messages again: imports keep them as text (`imports.conversations`).

https://platform.openai.com/docs/guides/function-calling. Arguments are JSON in a text, as OpenAI has them: as
objects, of another shape in each row, they would get null for the keys of others in Parquet and in `datasets`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from annotation.imports.conversations import CALL, RESULT

_CALLS = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)
_RESULTS = re.compile(r"<tool_response>\n(.*?)\n</tool_response>", re.DOTALL)


def with_tools(messages: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return messages in which calls are `tool_calls` and results have the role tool.

    Each call has an id, which its result names. Text that would not be read back as it is stays text, as do calls
    without as many results behind them.
    """
    found: list[dict[str, Any]] = []
    number = 0
    place = 0
    while place < len(messages):
        turn = messages[place]
        said, calls = _calls_in(turn)
        results = _results_in(messages[place + 1]) if place + 1 < len(messages) else None
        if not calls or (results is not None and len(results) != len(calls)):
            found.append(turn)
            place += 1
            continue
        ids = [f"call_{number + at}" for at in range(len(calls))]
        number += len(calls)
        found.append({"role": "assistant", "content": said, "tool_calls": _written(calls, ids)})
        for name, result in zip(ids, results or [], strict=bool(results)):
            found.append({"role": "tool", "tool_call_id": name, "content": result})
        place += 1 if results is None else 2
    return found


def _written(calls: list[dict[str, Any]], ids: list[str]) -> list[dict[str, Any]]:
    """Return calls as a message holds them."""
    written = []
    for name, call in zip(ids, calls, strict=True):
        arguments = call["arguments"]
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        function = {"name": call["name"], "arguments": arguments}
        written.append({"id": name, "type": "function", "function": function})
    return written


def _calls_in(turn: dict[str, str]) -> tuple[str, list[dict[str, Any]]]:
    """Return the text of an answer and the calls at its end; no calls where it is not written as imports write it."""
    text, begins = turn["content"], turn["content"].find("<tool_call>\n")
    before = text[: max(begins, 0)]
    if turn["role"] != "assistant" or begins < 0 or (before and not before.endswith("\n")):
        return text, []
    written = _CALLS.findall(text[begins:])
    calls = [_call_of(each) for each in written]
    if None in calls or "\n".join(CALL.format(each) for each in written) != text[begins:]:
        return text, []
    return before[:-1], [call for call in calls if call]


def _call_of(text: str) -> dict[str, Any] | None:
    """Return a call out of its JSON; None for one that would be written in another way."""
    try:
        call = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_call = isinstance(call, dict) and list(call) == ["name", "arguments"] and isinstance(call["name"], str)
    return call if is_call and json.dumps(call, ensure_ascii=False) == text else None


def _results_in(turn: dict[str, str]) -> list[str]:
    """Return the results that a turn consists of; an empty list where it is anything else."""
    found = _RESULTS.findall(turn["content"]) if turn["role"] == "user" else []
    return found if "\n\n".join(RESULT.format(each) for each in found) == turn["content"] else []
