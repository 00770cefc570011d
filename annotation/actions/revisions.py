"""Keeping what an annotation said, before it is reopened."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from annotation.kinds import KINDS
from annotation.models import Assignment, Revision
from annotation.models.judgment import Judgment

# In SQL as every submit asks it, for the few that were reopened.
CLOSE = "UPDATE annotation_revision SET closed_at = %s WHERE assignment_id = %s AND closed_at IS NULL"


def keep(*, assignment: Assignment, judgment: Judgment, asked_by: User | None = None, reason: str = "") -> Revision:
    """Store and return a submitted annotation as a former version. Call it in the transaction that reopens it."""
    return Revision.objects.create(
        assignment=assignment,
        answer=KINDS[assignment.task.kind].stored(judgment),
        client_uuid=judgment.client_uuid,
        active_ms=assignment.active_ms,
        submitted_at=judgment.created_at,
        asked_by_id=asked_by.pk if asked_by else None,
        reason=reason,
    )


def open_one(assignment: Assignment) -> Revision | None:
    """Return the former version of an assignment that is reopened now; None where it is not."""
    return Revision.objects.filter(assignment=assignment, closed_at=None).select_related("asked_by").first()


def close(assignment: Assignment) -> None:
    """Note that a reopened assignment is finished again, if it was one. Call it in that transaction."""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(CLOSE, [now, assignment.pk])
