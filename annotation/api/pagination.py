"""Pages of the API's lists, by cursor: rows that come in meanwhile neither shift a page nor show up twice."""

from __future__ import annotations

import re
from typing import Any

from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

MOST = 1000
MAX_NUMBER = 10**18 - 1  # of a row or an ID
NUMBER = "[0-9]{1,18}"  # in addresses: what a database takes; Python reads no number of more than 4,300 digits


class OldestFirst(CursorPagination):
    """Pages by cursor over a list, oldest row first: rows added during reading come on the last page."""

    ordering = "pk"
    page_size = 100
    page_size_query_param = "page_size"
    page_size_query_description = f"Rows on a page, from 1 to {MOST}."
    max_page_size = MOST

    def get_page_size(self, request: Request) -> int:
        """Return the page size that is asked for; refuse one that is not possible instead of replacing it."""
        asked = request.query_params.get("page_size", str(self.page_size))
        if not (asked.isascii() and asked.isdigit() and len(asked) < 10 and 1 <= int(asked) <= MOST):
            raise ValidationError({"page_size": f"Should be a whole number from 1 to {MOST}."})
        return int(asked)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Return the cursor of the address; refuse one whose position is no number of a row."""
        cursor: Cursor | None = super().decode_cursor(request)
        position = cursor.position if cursor else None
        if position is not None and not re.fullmatch(NUMBER, str(position)):
            raise NotFound(self.invalid_cursor_message)
        return cursor

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        parameters = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"] |= {"minimum": 1, "maximum": MOST, "default": self.page_size}
        return parameters


class NewestFirst(OldestFirst):
    """For lists that are looked at from their end: snapshots, rounds, deliveries."""

    ordering = "-pk"
