"""Filters that several tables share."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self, TypeVar

from django.db import models
from django.db.models import Q

_Row = TypeVar("_Row", bound=models.Model, covariant=True)


class NumberedQuerySet(models.QuerySet[_Row]):
    """Rows that are numbered within their project, from 1."""

    def newest(self) -> _Row | None:
        """Return the row with the highest number."""
        return self.order_by("-number").first()

    def next_number(self) -> int:
        """Return the number of the next row. Two requests may be told the same; a constraint admits one of them."""
        numbers: list[int] = list(self.order_by("-number").values_list("number", flat=True)[:1])
        return numbers[0] + 1 if numbers else 1


class RevocableQuerySet(models.QuerySet[_Row]):
    """Rows that count until the time in `revoked`, and are kept after that."""

    revoked: ClassVar[str] = "withdrawn_at"

    def in_force(self) -> Self:
        """Return the rows that count now."""
        return self.filter(**{self.revoked: None})

    def in_force_at(self, moment: datetime) -> Self:
        """Return the rows that counted at `moment`."""
        not_yet = Q(**{self.revoked: None}) | Q(**{f"{self.revoked}__gt": moment})
        return self.filter(not_yet, created_at__lte=moment)
