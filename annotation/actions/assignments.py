"""How the status of an assignment moves. An assignment is one seat at a task.

    EMPTY ─claim─▶ HELD ─submit─▶ DONE
                    │ ├─skip────▶ SKIPPED   and a new EMPTY seat with the same number
                    │ └─(lease over, claimed by another person)─▶ LAPSED ─submit─▶ LATE

An undo leads back: DONE to HELD, LATE to LAPSED. So does a reviewer who sends an annotation back. A seat that coverage
no longer wants is deleted while it is EMPTY.

Every arrow is one conditional UPDATE whose row count says who won. The partial index `one_holder_per_seat` keeps the
promise that a task with n seats has at most n holders, whatever this module does.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Subquery, Value
from django.db.models.functions import Greatest
from django.utils.translation import gettext

from annotation import clock
from annotation.actions import passed_over, revisions
from annotation.errors import NotPossible
from annotation.models import Assignment, Membership, Project, SeatStatus, Task
from annotation.models.task import FOR_ANYBODY


def renew(*, assignment: Assignment) -> Assignment:
    """Start the lease again, if the assignment is still held, and return it. A longer lease stays as it is."""
    end = lease_end(assignment.project)
    held = Assignment.objects.filter(pk=assignment.pk, status=SeatStatus.HELD)
    if held.update(expires_at=Greatest("expires_at", Value(end))):
        assignment.expires_at = max(assignment.expires_at or end, end)
    return assignment


def save_draft(*, assignment: Assignment, draft: dict[str, object], active_ms: int) -> Assignment:
    """Store unfinished work, renew the lease and return the assignment. A lapsed one still takes drafts."""
    now = clock.now()
    saved = Assignment.objects.filter(pk=assignment.pk, status__in=[SeatStatus.HELD, SeatStatus.LAPSED]).update(
        draft=draft, draft_saved_at=now, active_ms=active_ms
    )
    if not saved:
        raise NotPossible(gettext("Submitted. This annotation is final."))
    assignment.draft, assignment.draft_saved_at, assignment.active_ms = draft, now, active_ms
    return renew(assignment=assignment)


@transaction.atomic
def skip(*, assignment: Assignment, reason: str) -> None:
    """Give the task back with a reason. The same person is not asked about it again."""
    skipped = Assignment.objects.filter(pk=assignment.pk, status=SeatStatus.HELD).update(
        status=SeatStatus.SKIPPED, skip_reason=reason[:300], finished_at=clock.now(), expires_at=None
    )
    if not skipped:
        if Assignment.objects.filter(pk=assignment.pk, status__in=[SeatStatus.SKIPPED, SeatStatus.LAPSED]).exists():
            return  # a repeated click, or it has lapsed: either way the task is given back
        raise NotPossible(gettext("This task is finished and can no longer be skipped."))
    revisions.close(assignment)
    if assignment.task.purpose not in FOR_ANYBODY:
        return  # a check is for one person: no other person is asked
    _open_again(assignment)
    passed_over.invalidate(assignment.project_id)


def finish(*, assignment: Assignment, active_ms: int) -> SeatStatus:
    """Move HELD to DONE or LAPSED to LATE and return the new status. Call it in the judgment's transaction."""
    now = clock.now()
    member = Membership.objects.filter(
        project=assignment.project_id, user=assignment.annotator_id, guidelines_read__gt=0
    )
    read = Subquery(member.values("guidelines_read")[:1])
    for before, after in ((SeatStatus.HELD, SeatStatus.DONE), (SeatStatus.LAPSED, SeatStatus.LATE)):
        if Assignment.objects.filter(pk=assignment.pk, status=before).update(
            status=after, finished_at=now, expires_at=None, active_ms=active_ms, guidelines_number=read
        ):
            assignment.status, assignment.finished_at, assignment.expires_at = after, now, None
            return after
    raise NotPossible(gettext("Submitted. This annotation is final."))


def give_back(*, assignment: Assignment, draft: dict[str, Any], lease: timedelta | None = None) -> None:
    """Move DONE to HELD or LATE to LAPSED where a judgment was taken back. Call it in that transaction.

    It is held for `lease`, or as long as any other.
    """
    for before, after in ((SeatStatus.DONE, SeatStatus.HELD), (SeatStatus.LATE, SeatStatus.LAPSED)):
        expires_at = lease_end(assignment.project, lease) if after == SeatStatus.HELD else None
        if Assignment.objects.filter(pk=assignment.pk, status=before).update(
            status=after,
            finished_at=None,
            expires_at=expires_at,
            draft=draft,
            draft_saved_at=clock.now(),
        ):
            assignment.status, assignment.expires_at, assignment.draft = after, expires_at, draft
            return
    raise NotPossible(gettext("This was already undone."))


def move_to_a_seat_of_its_own(*, assignment: Assignment) -> None:
    """Give a late annotation, whose seat went to another person, a further seat of its task: LATE to DONE.

    Call it in a transaction.
    """
    task = Task.objects.select_for_update().get(pk=assignment.task_id)
    number = task.seats + 1
    late = Assignment.objects.filter(pk=assignment.pk, status=SeatStatus.LATE)
    if late.update(status=SeatStatus.DONE, seat_number=number):
        Task.objects.filter(pk=task.pk).update(seats=number)
        assignment.status, assignment.seat_number = SeatStatus.DONE, number


def lease_end(project: Project, lease: timedelta | None = None) -> datetime:
    """Return when a lease that starts now is over, in whole seconds.

    Annotators are sent it, and its fractions would tell how long the server worked: making a check takes longer.
    """
    now = clock.now().replace(microsecond=0) + timedelta(seconds=1)
    return now + (lease or timedelta(minutes=project.lease_minutes))


def held_by(project: Project, user: User) -> Assignment | None:
    """Return the assignment this person holds; of two, one of which an undo brought back, the one claimed first."""
    held = Assignment.objects.held().filter(project=project, annotator_id=user.pk)
    return held.select_related("task__prompt", "task__proposal", "project").order_by("claimed_at").first()


def replace_lapsed(pk: int) -> int | None:
    """Lapse a held assignment whose lease is over and return the id of a new empty one; None if another was faster."""
    expired = Assignment.objects.held().filter(pk=pk, expires_at__lt=clock.now())
    if not expired.update(status=SeatStatus.LAPSED, expires_at=None):
        return None
    return _open_again(Assignment.objects.get(pk=pk)).pk


def _open_again(assignment: Assignment) -> Assignment:
    """Create and return an empty assignment with the same seat number."""
    return Assignment.objects.create(
        task_id=assignment.task_id,
        seat_number=assignment.seat_number,
        project_id=assignment.project_id,
        priority=assignment.priority,
    )
