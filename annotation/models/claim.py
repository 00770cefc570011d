"""The one way in which a process takes a row that waits in the database.

Webhook deliveries, mail, training runs, packages and replies of the playground are claimed with it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self, TypeVar

from django.db import models
from django.db.models import F
from django.db.models.expressions import CombinedExpression

_Row = TypeVar("_Row", bound=models.Model, covariant=True)

LOOKED_AT = 10  # rows that one call tries to claim before it reports that none is left
MOST_IN_VAIN = 3  # attempts of one turn from which no process came back
TURN = MOST_IN_VAIN + 1  # the counter's values from one turn to the next


def next_turn() -> CombinedExpression:
    """Return the attempt of a row that is put back in the queue: those in vain are counted anew from there.

    It never goes down. A process that fell behind would else own the row again once its number came again.
    """
    return F("attempt") - F("attempt") % TURN + TURN


def in_turn(attempt: int) -> int:
    """Return which attempt of its turn this is, from 1 on; 0 after MOST_IN_VAIN that were in vain."""
    return attempt % TURN


class ClaimQuerySet(models.QuerySet[_Row]):
    """Rows that several processes take work from, in the order of the query."""

    counter: ClassVar[str] = "attempt"  # goes up by one with each claim
    fence: ClassVar[tuple[str, ...]] = ("status", "attempt", "heartbeat_at")  # who changed one of these was faster

    def claim(self, **changes: Any) -> _Row | None:
        """Update the first row of this query with `changes`, count its attempt and return it; None where none is left.

        The UPDATE asks for the values that were read and not for this query's own conditions: PostgreSQL evaluates
        subqueries and joins of a statement that waited for a lock on the rows as they were before, so that two
        processes could claim one row.
        """
        for read in self.values("pk", *self.fence)[:LOOKED_AT]:
            unchanged = self.model._default_manager.filter(**read)
            counted = {self.counter: F(self.counter) + 1}
            if unchanged.update(**counted, **self.changes_on_claim(read), **changes):
                claimed: _Row = self.model._default_manager.get(pk=read["pk"])
                return claimed
        return None

    def changes_on_claim(self, read: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 -- for those that override it
        """Return further changes that depend on the values that were read, those of `fence`."""
        return {}

    def still_ours(self, row: models.Model) -> Self:
        """Return the row as a query that is empty once another process has moved it: update it through this."""
        names = ("status", self.counter)
        return self.filter(pk=row.pk, **{name: getattr(row, name) for name in names})
