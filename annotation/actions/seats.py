"""How a seat moves.

    EMPTY ─claim─▶ HELD ─submit─▶ DONE
                    │ ├─skip────▶ SKIPPED   and a new EMPTY seat with the same number
                    │ └─(lease over, claimed by somebody else)─▶ LAPSED ─submit─▶ LATE

Every arrow is one conditional UPDATE whose row count says who won. The partial index `one_holder_per_seat` keeps the
promise that a task with n seats has at most n holders, whatever this module does.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from annotation.actions import NotPossible
from annotation.models import Assignment, Candidate, Project, SeatStatus

CLAIM_TRIES = 20
JUDGED = [SeatStatus.DONE, SeatStatus.LATE]


def claim_next(*, project: Project, by: User) -> Assignment | None:
    """The seat this user holds already, or else the next free one, now theirs; None if there is nothing for them."""
    for _ in range(CLAIM_TRIES):
        try:
            with transaction.atomic():
                if held := held_by(project, by):
                    return renew(assignment=held)
                seat = _next_free(project, by)
                if seat is None:
                    return None
                if claimed := _take(seat, by, project):
                    return claimed
        except IntegrityError:
            # Another tab of the same person claimed in the same moment: look again and find that seat.
            continue
    raise NotPossible("So many people asked at once that no seat could be found. Try again.")


def renew(*, assignment: Assignment) -> Assignment:
    """A sign of life: the lease starts again, if the seat is still this person's."""
    expires_at = _lease_end(assignment.project)
    if Assignment.objects.filter(pk=assignment.pk, status=SeatStatus.HELD).update(expires_at=expires_at):
        assignment.expires_at = expires_at
    return assignment


def save_draft(*, assignment: Assignment, draft: dict[str, object], active_ms: int) -> Assignment:
    """Keep unfinished work and renew the lease. A lapsed seat still takes drafts: the work may yet be submitted."""
    now = timezone.now()
    saved = Assignment.objects.filter(pk=assignment.pk, status__in=[SeatStatus.HELD, SeatStatus.LAPSED]).update(
        draft=draft, draft_saved_at=now, active_ms=active_ms
    )
    if not saved:
        raise NotPossible("This task is finished; its answer is stored and can no longer change.")
    assignment.draft, assignment.draft_saved_at, assignment.active_ms = draft, now, active_ms
    return renew(assignment=assignment)


@transaction.atomic
def skip(*, assignment: Assignment, reason: str) -> None:
    """Give the seat back. The same person will not be asked about this task again."""
    skipped = Assignment.objects.filter(pk=assignment.pk, status=SeatStatus.HELD).update(
        status=SeatStatus.SKIPPED,
        skip_reason=reason.replace("\0", "")[:300],  # PostgreSQL stores no NUL
        finished_at=timezone.now(),
        expires_at=None,
    )
    if not skipped:
        if Assignment.objects.filter(pk=assignment.pk, status__in=[SeatStatus.SKIPPED, SeatStatus.LAPSED]).exists():
            return  # a repeated click, or the seat is somebody else's already: either way it is given back
        raise NotPossible("This task is finished and cannot be skipped any more.")
    Assignment.objects.create(
        task_id=assignment.task_id,
        seat=assignment.seat,
        project_id=assignment.project_id,
        priority=assignment.priority,
    )


def finish(*, assignment: Assignment) -> SeatStatus:
    """HELD to DONE, or LAPSED to LATE. Called inside the transaction that stores the judgment."""
    now = timezone.now()
    for before, after in ((SeatStatus.HELD, SeatStatus.DONE), (SeatStatus.LAPSED, SeatStatus.LATE)):
        if Assignment.objects.filter(pk=assignment.pk, status=before).update(
            status=after, finished_at=now, expires_at=None
        ):
            assignment.status, assignment.finished_at, assignment.expires_at = after, now, None
            return after
    raise NotPossible("This task is finished; its answer is stored and can no longer change.")


def _lease_end(project: Project) -> datetime:
    return timezone.now() + timedelta(minutes=project.lease_minutes)


def held_by(project: Project, user: User) -> Assignment | None:
    held = Assignment.objects.filter(project=project, annotator_id=user.pk, status=SeatStatus.HELD)
    return held.select_related("task__prompt", "project").order_by("claimed_at").first()


def _next_free(project: Project, user: User) -> Assignment | None:
    """The next empty seat by priority; failing that, one whose lease is over."""
    mine = Assignment.objects.filter(task=OuterRef("task"), annotator_id=user.pk)
    own_text = Candidate.objects.filter(task=OuterRef("task"), completion__author_id=user.pk)
    seats = Assignment.objects.filter(~Exists(mine), ~Exists(own_text), project=project)
    empty = seats.filter(status=SeatStatus.EMPTY).order_by("-priority", "seat", "id")
    lapsed = seats.filter(status=SeatStatus.HELD, expires_at__lt=timezone.now()).order_by("expires_at")
    return _locked(empty).first() or _locked(lapsed).first()


def _locked(seats: QuerySet[Assignment]) -> QuerySet[Assignment]:
    """PostgreSQL: pass over seats that another transaction is taking. SQLite has one writer at a time anyway."""
    if connection.features.has_select_for_update_skip_locked:
        return seats.select_for_update(skip_locked=True, of=("self",))
    return seats


def _take(seat: Assignment, user: User, project: Project) -> Assignment | None:
    now = timezone.now()
    if seat.status == SeatStatus.HELD:
        lapsed = Assignment.objects.filter(pk=seat.pk, status=SeatStatus.HELD, expires_at__lt=now)
        if not lapsed.update(status=SeatStatus.LAPSED, expires_at=None):
            return None
        seat = Assignment.objects.create(
            task_id=seat.task_id, seat=seat.seat, project_id=seat.project_id, priority=seat.priority
        )
    taken = Assignment.objects.filter(Q(pk=seat.pk), status=SeatStatus.EMPTY).update(
        status=SeatStatus.HELD,
        annotator_id=user.pk,
        claimed_at=now,
        expires_at=_lease_end(project),
        shown_order=_shuffled_candidates(seat),
    )
    if not taken:
        return None
    return Assignment.objects.select_related("task__prompt", "project").get(pk=seat.pk)


def _shuffled_candidates(seat: Assignment) -> list[int]:
    """A fresh order for every seat; it is stored, so that position bias can be measured afterwards."""
    ids = list(Candidate.objects.filter(task_id=seat.task_id).order_by("id").values_list("completion_id", flat=True))
    random.Random(f"seat {seat.pk}").shuffle(ids)
    return ids


def progress(project: Project) -> dict[str, int]:
    """Seats of a project by where they stand."""
    seats = Assignment.objects.filter(project=project)
    return {
        "done": seats.filter(status__in=JUDGED).count(),
        "held": seats.filter(status=SeatStatus.HELD).count(),
        "empty": seats.filter(status=SeatStatus.EMPTY).count(),
    }


def own_progress(project: Project, user: User) -> dict[str, int]:
    """What one person has done here, and how many seats are free (for anybody)."""
    return {
        "done": Assignment.objects.filter(project=project, annotator_id=user.pk, status__in=JUDGED).count(),
        "empty": Assignment.objects.filter(project=project, status=SeatStatus.EMPTY).count(),
    }
