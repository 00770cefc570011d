"""Deleting what nobody needs any more from tables that would only grow. The worker calls this once an hour.

The audit log has its own rule (`annotation.audit.trim`), files have `manage.py prune_artefacts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import QuerySet

from annotation import clock
from annotation.delivery import queue
from annotation.models import Delivery, MailMessage

BATCH = 1000  # rows in one transaction: SQLite has one writer at a time
FORGOTTEN_AFTER = timedelta(days=1)  # failed attempts to sign in, which count for minutes


def delete_expired(*, keep_days: int) -> dict[str, int]:
    """Delete sessions and sign-in failures that are over, and messages that are; return the rows by table.

    A message that has waited for so many days is given up first. 0 days keep all messages.
    """
    give_up(keep_days=keep_days)
    return {rows.model._meta.db_table: _deleted(rows) for rows in _expired(keep_days)}


def give_up(*, keep_days: int) -> int:
    """Fail the messages that have been due for so many days, return how many: an address may never answer again.

    One that was sent again is due anew, however old it is.
    """
    if keep_days <= 0:
        return 0
    long_ago = clock.now() - timedelta(days=keep_days)
    found = [model.objects.pending().filter(next_attempt_at__lt=long_ago) for model in (Delivery, MailMessage)]
    why = f"Given up: it was not delivered within {keep_days} days."
    return sum(queue.fail(rows, why=why) for rows in found if rows.exists())  # a look alone takes no lock


def _expired(keep_days: int) -> Iterator[QuerySet[Any]]:
    now = clock.now()
    yield Session.objects.filter(expire_date__lt=now)
    yield AccessAttempt.objects.filter(attempt_time__lt=now - max(FORGOTTEN_AFTER, settings.AXES_COOLOFF_TIME))
    if keep_days > 0:
        for model in (Delivery, MailMessage):
            yield model.objects.filter(finished_at__lt=now - timedelta(days=keep_days))


def _deleted(rows: QuerySet[Any]) -> int:
    deleted = 0
    while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        deleted += rows.filter(pk__in=keys).delete()[0]
    return deleted
