"""OpenAI's Batch API: the file of requests, and the file of results, which name each other by `custom_id`.

https://platform.openai.com/docs/guides/batch
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import Item
from annotation.imports.refusals import Refusal
from annotation.imports.shapes.shape import Shape

MODEL = "model"


def read(fields: Fields) -> Iterator[Item]:
    """Read a request as a prompt, and the choices of its result as answers."""
    request = fields.child("body")
    item = Item(request.take("messages", "input"), "messages", id=fields.take("custom_id"))
    if isinstance(item.prompt, str):
        item.field = "input"
    fields.describes("method", "url", "id")
    request.describes(*request.data)
    if item.prompt is None:
        raise Refusal(
            "the row is a result of a batch, and its request with the prompt is not in the file; put both files, "
            "requests and results, into one .zip file"
        )
    response = fields.child("response")
    body = response.child("body")
    for choice in body.take("choices") or []:
        said = body.sub(choice, "choices")
        item.answer(said.take("message"), body.peek(MODEL) or "", finished=said.take("finish_reason") != "length")
        said.describes(*said.data)
    for each in (response, body):
        each.describes(*each.data)
    fields.describes("error")
    yield item


def gather(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield each request with its result, and what has only one of them as it is."""
    requests = {str(row.get("custom_id")): row for row in rows if "body" in row}
    results = {str(row.get("custom_id")): row for row in rows if "body" not in row}
    for name, request in requests.items():
        result = results.get(name, {})
        yield {**request, **{key: result[key] for key in ("response", "error") if key in result}}
    yield from (row for name, row in results.items() if name not in requests)


def request_of(row: dict[str, Any]) -> str:
    """Return the name that a request and its result share."""
    return str(row.get("custom_id") or "")


def _is_one(fields: Fields) -> bool:
    if not isinstance(fields.peek("custom_id"), (str, int)):
        return False
    body = fields.peek("body")
    request = isinstance(body, dict) and ("messages" in body or "input" in body)
    return request or (isinstance(fields.peek("response"), dict) and "body" in fields.peek("response"))


BATCH = Shape("OpenAI batch", _is_one, read, gather=gather, key=request_of)
