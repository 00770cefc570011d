"""Odd values in bodies and queries of every operation of the API: an answer in words, never a 5xx."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import transaction
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from tests import NIGHTLY

pytestmark = [pytest.mark.django_db, pytest.mark.database, pytest.mark.slow]

VALUES: list[Any] = [
    *(None, -1, 1.5, 10**30, "", "\0", "9" * 5000, "\u0663", [], {}, [[None]], [{}], {"a": None}, {"a": [None]}),
    *({"a": 5}, "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", ["\0"], {"\0": "x"}, [10**30], True),
]
QUERIES = ["9" * 5000, "-1", "\u0663", "\0", "NaN", "0001-01-01", "9999-12-31", "2020-02-30", "[]"]
BODIES = [
    *(b"", b"null", b"[]", b"1", b"{", b'{"a":1e999}', b'{"a":NaN}', b"\xff\xfe{\0}\0", b"[" * 100_000),
    *(b'{"a":"\\ud800"}', b'{"a":1,"a":2}', b'{"a":' + b"9" * 5000 + b"}"),
]
TYPES = [
    *("text/plain", "application/xml", "multipart/form-data", "multipart/form-data; boundary=", ""),
    *("application/json; charset=utf-16", "application/json; charset=nope", "application/x-www-form-urlencoded"),
]


class Example:
    """Values that the schema allows, to put one odd value among them."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self.schemas = schemas

    def of(self, schema: dict[str, Any], depth: int = 0) -> Any:
        if reference := schema.get("$ref") or (schema.get("allOf") or [{}])[0].get("$ref"):
            return self.of(self.schemas[reference.rsplit("/", 1)[1]], depth)
        if "enum" in schema:
            return schema["enum"][0]
        match schema.get("type"):
            case "object":
                inner = schema.get("properties", {}).items() if depth < 3 else ()
                return {name: self.of(each, depth + 1) for name, each in inner if not each.get("readOnly")}
            case "array":
                return [self.of(schema["items"], depth + 1)]
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return True
        return {"uuid": "00000000-0000-0000-0000-000000000001", "date-time": "2024-01-01T00:00:00Z"}.get(
            schema.get("format", ""), "text"
        )


def requests() -> list[tuple[str, str, bytes, str]]:
    """Return method, address, body and content type; without the nightly run each field has one odd value of all."""
    document = SchemaGenerator().get_schema(request=None, public=True)
    example, found = Example(document["components"]["schemas"]), []
    turn, turn_of_query, turn_of_body = (itertools.cycle(each) for each in (VALUES, QUERIES, BODIES))

    def some(values: list[Any], one: Any) -> list[Any]:
        return values if NIGHTLY else [next(one)]

    for path, operations in document["paths"].items():
        address = re.sub(r"{\w+}", "1", path.replace("{slug}", "letters"))
        for method, operation in operations.items():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query":
                    for value in some(QUERIES, turn_of_query):
                        found.append((method, f"{address}?{urlencode({parameter['name']: value})}", b"", ""))
            if method == "get":
                continue
            found += [(method, address, body, "application/json") for body in some(BODIES, turn_of_body)]
            found += [(method, address, b'{"a":1}', type_) for type_ in (TYPES if NIGHTLY else TYPES[-2:])]
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            usual = example.of(content["schema"]) if content else {}
            for name in usual:
                for value in some(VALUES, turn):
                    found.append((method, address, json.dumps({**usual, name: value}).encode(), "application/json"))
    return found


def test_no_odd_body_or_query_ends_in_a_5xx(project, ranked_task, admin):
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(admin)
    failed, asked = [], requests()
    for method, address, body, content_type in asked:
        with transaction.atomic():  # the next request finds everything as this one did
            response = client.generic(method.upper(), address, body, content_type or "application/octet-stream")
            transaction.set_rollback(True)
        if response.status_code >= 500:
            failed.append((response.status_code, method, address[:100], body[:200]))
    assert not failed, (len(failed), failed[:20])
    assert len(asked) > (2500 if NIGHTLY else 330)


@pytest.mark.parametrize("odd", [value for value in VALUES if value != {"a": [None]}][:15])
def test_what_is_no_list_of_words_is_refused(project, alice, odd):
    """Each value that a label of a verbalizer can be given as."""
    body = {"name": "plain", "words": {"good": ["good"], "bad": odd}}
    refused = alice.post("/api/v1/projects/letters/verbalizers/", body, content_type="application/json")
    assert refused.status_code == 400
    assert "words" in refused.json()["errors"]


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_first_and_the_last_day_there_are_filter(project, alice, day):
    for page in ("/api/v1/projects/letters/feedback/", "/projects/letters/feedback/", "/projects/letters/audit/"):
        assert alice.get(page, {"since": day, "until": day}).status_code == 200
