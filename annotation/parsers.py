"""JSON as the API takes it: nothing in it that a database cannot keep."""

from __future__ import annotations

import re
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

_HALF = re.compile("[\ud800-\udfff]")


class StorableJSON(JSONParser):
    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            data = super().parse(stream, media_type, parser_context)
            storable = is_storable(data)
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
        if not storable:
            raise ParseError("The JSON has a NUL or half a character (a lone surrogate) in a text.")
        return data


def is_storable(value: object) -> bool:
    """JSON can spell texts that no column of PostgreSQL takes and that have no UTF-8."""
    match value:
        case str():
            return "\0" not in value and not _HALF.search(value)
        case dict():
            return all(is_storable(key) and is_storable(item) for key, item in value.items())
        case list():
            return all(is_storable(item) for item in value)
    return True
