"""Datasets of LangSmith and Langfuse: inputs with the expected output.

https://docs.smith.langchain.com/evaluation/how_to_guides/manage_datasets, https://langfuse.com/docs/datasets
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import Item, is_messages
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.shape import Shape

JSON = re.compile(r"\s*(\{|\[\s*\{)")
ASKED = ("messages", "input", "question", "query", "prompt", "text", "instruction", "content")
ANSWERED = (
    *("output", "answer", "response", "expected_response", "choices"),
    "completion",
    "text",
    "result",
    "content",
    "messages",
    "message",
    "generations",
)

LANGCHAIN_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "tool"}


def langsmith(fields: Fields) -> Iterator[Item]:
    """Read an example: its inputs are the prompt, its outputs the reference answer."""
    item = Item(id=fields.take("id"))
    ask_in(fields, "inputs", item)
    item.references.append(answer_in(fields, "outputs"))
    yield item


def langfuse(fields: Fields) -> Iterator[Item]:
    """Read a dataset item: its input is the prompt, its expected output the reference answer."""
    if fields.take("status") == "ARCHIVED":
        raise Refusal("the item was archived in Langfuse, so it is left out; make it active there to take it")
    item = Item(id=fields.take("id"))
    ask_in(fields, "input", item)
    name = "expectedOutput" if "expectedOutput" in fields.data else "expected_output"
    item.references.append(answer_in(fields, name))
    yield item


def ask_in(fields: Fields, name: str, item: Item) -> None:
    """Take the prompt out of a field that holds it as text, as messages, or as an object with one of these."""
    item.field = name
    opened(fields, name)
    if not isinstance(fields.peek(name), dict):
        item.prompt = _messages(fields.take(name))
        return
    given = fields.child(name)
    known = next((each for each in ASKED if each in given), None)
    if known is None and len(given.data) == 1:
        known = next(iter(given.data))
    if known is None:
        raise Refusal(f'"{name}" has none of {", ".join(ASKED[:6])}; name one of its fields so')
    item.prompt = _messages(given.take(known))
    if isinstance(given.peek("system"), str):
        item.system = given.take("system")


def _messages(value: Any) -> Any:
    """Return messages as LangChain writes them, {"type": "human"} or with a class and kwargs, with their roles."""
    if not isinstance(value, list) or not value:
        return value
    if len(value) == 1 and isinstance(value[0], list):  # a batch of one conversation
        value = value[0]
    found = []
    for each in value:
        if not isinstance(each, dict):
            return value
        if isinstance(each.get("kwargs"), dict) and isinstance(each.get("id"), list) and each["id"]:
            each = {"type": str(each["id"][-1]).removesuffix("Chunk").removesuffix("Message").lower(), **each["kwargs"]}
        elif isinstance(each.get("data"), dict):
            each = {**each["data"], "type": each.get("type")}
        if "role" not in each and each.get("type") in LANGCHAIN_ROLES and "content" in each:
            role = LANGCHAIN_ROLES[each["type"]]
            each = {"role": role, **{name: said for name, said in each.items() if name != "type"}}
        found.append(each)
    return found


def opened(fields: Fields, name: str) -> None:
    """Read an object or a list of objects that stands in a field as JSON text, as MLflow writes it."""
    if name in fields:
        fields.data[name] = parsed(fields.peek(name))


def parsed(value: Any) -> Any:
    """Return the object or the list of objects that a text holds as JSON; any other value as it is."""
    if isinstance(value, str) and JSON.match(value):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def answer_in(fields: Fields, name: str) -> Any:
    """Return the answer that a field holds as text, as messages, or in an object with one of them; None without."""
    if name not in fields:
        return None
    opened(fields, name)
    value: Any = fields.peek(name)
    if isinstance(value, dict) and "role" in value and "content" in value:
        fields.take(name)
    elif isinstance(value, dict):
        given = fields.child(name)
        known = next((each for each in ANSWERED if each in given), None)
        if known is None and len(given.data) == 1:
            known = next(iter(given.data))
        value = _messages(given.take(known)) if known else None
    else:
        fields.take(name)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and "message" in value[0]:
        value = value[0]["message"]  # the choices of OpenAI
    if is_messages(value):
        value = value[-1].get("content", value[-1].get("value"))
    elif isinstance(value, dict) and "content" in value:
        value = value["content"]
    return value


def _is_langsmith(fields: Fields) -> bool:
    is_feedback = "run_id" in fields and "key" in fields  # on what a run put out, which is no reference answer
    return isinstance(fields.peek("inputs"), (dict, str)) and "outputs" in fields.data and not is_feedback


def _is_langfuse(fields: Fields) -> bool:
    return "input" in fields and ("expectedOutput" in fields.data or "expected_output" in fields.data)


LANGSMITH = Shape("LangSmith dataset", _is_langsmith, langsmith)
LANGFUSE = Shape("Langfuse dataset", _is_langfuse, langfuse)
