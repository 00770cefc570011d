"""How mail and webhook deliveries move; one rule for both.

    PENDING ─attempt─▶ DELIVERED   it was taken
       │ ▲      ├────▶ PENDING     it was not: again later, after a longer wait each time
       │ │      └────▶ FAILED      after the last attempt that is allowed, or where another one would not help
       │ └─────────────send again─────┘

An attempt whose process ended without a result counts as made: the next one follows, or the message has failed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

from django.db.models import F, QuerySet

from annotation import clock
from annotation.models.outgoing import DeliveryStatus, OutgoingMessage, OutgoingQuerySet

_Message = TypeVar("_Message", bound=OutgoingMessage)

LOST = "The process that made the last attempt ended without a result."


def claim(due: OutgoingQuerySet[_Message], *, lost_after: timedelta) -> _Message | None:
    """Return the first due message, ours for one attempt of at most `lost_after`; None where none is due.

    A message whose last allowed attempt was lost is failed first.
    """
    now = clock.now()
    pending = due.model._default_manager.filter(status=DeliveryStatus.PENDING, next_attempt_at__lte=now)
    exhausted = pending.filter(attempts__gte=F("attempts_allowed"))
    if exhausted.exists():  # a look alone takes no lock, and most looks find none
        fail(exhausted, why=LOST)
    return due.due(now).claim(next_attempt_at=now + lost_after)


def settle(
    message: OutgoingMessage, *, delivered: bool, wait: timedelta, hopeless: bool = False, **result: Any
) -> None:
    """Store how an attempt ended, unless the message was claimed again meanwhile."""
    changes: dict[str, Any] = dict(result)
    if delivered:
        changes |= _over(message, DeliveryStatus.DELIVERED)
    elif hopeless or message.attempts >= message.attempts_allowed:
        changes |= _over(message, DeliveryStatus.FAILED)
    else:
        changes |= {"next_attempt_at": clock.now() + wait}
    rows = type(message)._default_manager.filter(pk=message.pk, status=DeliveryStatus.PENDING)
    rows.filter(attempts=message.attempts).update(**changes)


def fail(rows: QuerySet[Any], *, why: str) -> int:
    """Fail these messages, for which no attempt is made any more; return how many."""
    return rows.update(last_answer=why, **_over(rows.model, DeliveryStatus.FAILED))


def _over(message: OutgoingMessage | type[OutgoingMessage], status: DeliveryStatus) -> dict[str, Any]:
    return {"status": status, "finished_at": clock.now(), **message.forgotten_when_over()}


def send_again(message: OutgoingMessage, *, attempts: int) -> None:
    """Make the message due at once, with so many attempts more, whether it is over or waits for its next attempt."""
    type(message)._default_manager.filter(pk=message.pk).update(
        status=DeliveryStatus.PENDING,
        finished_at=None,
        next_attempt_at=clock.now(),
        attempts_allowed=F("attempts") + attempts,
    )


def wait_after(failures: int, *, first: timedelta, longest: timedelta) -> timedelta:
    """Return how long to wait after so many failures: four times as long after each, up to `longest`."""
    wait: timedelta = first * 4 ** (failures - 1)
    return min(wait, longest)
