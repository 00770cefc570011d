"""What people and programs send may hold characters that no text needs and that a database refuses."""

from __future__ import annotations

import json
from typing import Any

from django.http import QueryDict

from annotation.plain_text import cleaned_text


def cleaned(value: Any) -> Any:
    """Return the value without those characters in any of its strings."""
    match value:
        case str():
            return cleaned_text(value)
        case QueryDict():
            fields = QueryDict(mutable=True)
            for name, entries in value.lists():
                fields.setlist(name, [cleaned(entry) for entry in entries])
            return fields
        case dict():
            return {cleaned(name): cleaned(entry) for name, entry in value.items()}
        case list():
            return [cleaned(entry) for entry in value]
    return value


class JSONDecoder(json.JSONDecoder):
    """For forms: brackets without end are no JSON, instead of an error of the server."""

    def decode(self, text: str, *args: Any) -> Any:
        try:
            return super().decode(text, *args)
        except RecursionError:
            raise json.JSONDecodeError("nested too deeply", text[:20], 0) from None


def is_storable(value: Any) -> bool:
    """Return whether the value can be written as JSON: no infinity and no NaN."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
