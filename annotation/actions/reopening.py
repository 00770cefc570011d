"""Reopening what was submitted: undo by its author, redo, and sending it back for correction.

A judgment is never edited. It is kept as a former version and deleted, and its assignment is its author's again with
the judgment as its draft.
"""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext

from annotation import audit, clock, live, pseudonyms
from annotation.actions import assignments, coverage, judgments, notifications, quality, revisions
from annotation.errors import NotPossible
from annotation.kinds import KINDS
from annotation.models import Assignment, AuditAction, NotificationKind, Project, Purpose, Revision, SeatStatus
from annotation.models.judgment import Judgment
from annotation.models.task import JUDGED, MOST_UNDOS, UNDO_WITHIN

CORRECT_WITHIN = timedelta(days=7)  # after that the task is for anybody, as after any lease
LONGEST_REASON = 2000


def last_submitted(*, project: Project, by: User) -> Assignment | None:
    """Return the assignment that this person submitted last, if it is recent enough to be undone."""
    judged = Assignment.objects.judged().filter(project=project, annotator_id=by.pk)
    recent = judged.filter(finished_at__gt=clock.now() - UNDO_WITHIN)
    # After a practice task the known order was shown.
    recent = recent.filter(task__can_be_undone=True).exclude(task__purpose=Purpose.PRACTICE)
    return recent.order_by("-finished_at").first()


@transaction.atomic
def undo(*, project: Project, by: User) -> Assignment:
    """Reopen what this person submitted last and return its assignment, held, with the judgment as its draft.

    A seat that they claimed meanwhile stays theirs with its own draft, and comes after this one.
    """
    assignment = last_submitted(project=project, by=by)
    if assignment is None:
        minutes = int(UNDO_WITHIN.total_seconds() // 60)
        raise NotPossible(
            gettext("There is nothing to undo: you have submitted nothing in the last %(minutes)s minutes.")
            % {"minutes": minutes}
        )
    if not Assignment.objects.filter(pk=assignment.pk, undos_left__gt=0).update(undos_left=F("undos_left") - 1):
        raise NotPossible(
            gettext(
                "Your last submission is final: it was undone %(MOST_UNDOS)s times, or you viewed the "
                "other annotations."
            )
            % {"MOST_UNDOS": MOST_UNDOS}
        )
    judgment = _judgment_of(assignment)
    if snapshot := project.snapshots.filter(cutoff__gte=judgment.created_at).order_by("number").first():
        raise NotPossible(
            gettext("This annotation is already in snapshot %(number)s and can no longer be undone.")
            % {"number": snapshot.number}
        )
    revisions.keep(assignment=assignment, judgment=judgment)
    _take_back(assignment, judgment)
    return assignment


def redo(*, assignment: Assignment) -> Judgment:
    """Submit again, unchanged, what its author has undone; return the judgment.

    Raises NotPossible where nothing was undone, and where it was submitted again meanwhile.
    """
    undone = revisions.open_one(assignment)
    if undone is None or undone.asked_by_id is not None:
        raise NotPossible(gettext("There is no undone submission to restore here."))
    return judgments.submit(
        assignment=assignment, client_uuid=undone.client_uuid, answer=undone.answer, active_ms=undone.active_ms
    )


@transaction.atomic
def send_back(*, assignment: Assignment, by: User, reason: str) -> Revision:
    """Send an annotation back to its author for correction, first in their queue; return what it said.

    Raises NotPossible without a reason, for one's own, for a check or an evaluation, and where its author has left.
    """
    reason = reason.strip()[:LONGEST_REASON]
    if not reason:
        raise NotPossible(gettext("Write what should be corrected: the annotator sees it with the task."))
    if assignment.annotator_id == by.pk:
        raise NotPossible(gettext("This annotation is your own: another reviewer can send it back."))
    if assignment.task.purpose != Purpose.WORK:
        raise NotPossible(gettext("Only regular work can be sent back: this was a check, practice or an evaluation."))
    if quality.could_still_judge(task=assignment.task, user=by):
        raise NotPossible(
            gettext("You may still annotate this task yourself: submit or skip it first, then view the others.")
        )
    if assignment.status not in JUDGED:
        raise NotPossible(gettext("This annotation is not submitted now, so it cannot be sent back."))
    if not assignment.project.memberships.filter(user=assignment.annotator).exists():
        raise NotPossible(
            gettext("%(annotator)s is no longer a member. Adjudicate the task instead.")
            % {"annotator": pseudonyms.known_as(assignment.project_id, assignment.annotator)}
        )
    judgment = _judgment_of(assignment)
    kept = revisions.keep(assignment=assignment, judgment=judgment, asked_by=by, reason=reason)
    _take_back(assignment, judgment, lease=CORRECT_WITHIN)
    what = f"annotation {assignment.pk}"
    notifications.tell(
        [assignment.annotator_id],
        project=assignment.project,
        kind=NotificationKind.SENT_BACK,
        url=assignment.get_absolute_url(),
        by=by,
    )
    audit.record(AuditAction.SENT_BACK, by=by, subject=assignment.annotator, project=assignment.project, what=what)
    return kept


def _judgment_of(assignment: Assignment) -> Judgment:
    judgment = KINDS[assignment.task.kind].judgment._default_manager.filter(assignment=assignment).first()
    if judgment is None:
        raise NotPossible(gettext("This was already reopened."))
    return judgment


def _take_back(assignment: Assignment, judgment: Judgment, *, lease: timedelta | None = None) -> None:
    """Delete a judgment and give the assignment back to its author, in the caller's transaction."""
    kind, project = KINDS[assignment.task.kind], assignment.project
    draft = kind.draft(judgment)
    kind.take_back(judgment)
    if lease and assignment.status == SeatStatus.LATE:
        assignments.move_to_a_seat_of_its_own(assignment=assignment)
    assignments.give_back(assignment=assignment, draft=draft, lease=lease)
    coverage.settle(task=assignment.task, project=project)
    live.announce(project.pk, "queue")
