"""What reviewers decide about judgments: adjudicate, mark as known, weigh, exclude, comment. All of it reversible."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from annotation import audit
from annotation.actions import notifications
from annotation.errors import NotPossible
from annotation.models import (
    Adjudication,
    Assignment,
    AuditAction,
    Exclusion,
    GoldAnswer,
    Membership,
    NotificationKind,
    Project,
    Purpose,
    Ranking,
    ReviewComment,
    Role,
    SeatStatus,
    Task,
    UnaryJudgment,
)
from annotation.quality.records import read_records
from annotation.quality.reliability import weights


def could_still_judge(*, task: Task, user: User) -> bool:
    """Return whether a person may yet judge a task, or judge it anew: so long they see nobody else's judgment of it."""
    return Task.objects.blind_to(user).filter(pk=task.pk).exists()


@transaction.atomic
def look_without_judging(*, task: Task, user: User) -> None:
    """Note that a person looks at the votes on a task: they are not asked any more, and their own judgment stays.

    Raises NotPossible while they hold it.
    """
    own = task.assignments.filter(annotator_id=user.pk)
    if own.held().exists():
        raise NotPossible(gettext("This task is assigned to you: submit or skip it, then view the other annotations."))
    own.update(undos_left=0)
    ended = {"status": SeatStatus.SKIPPED, "finished_at": timezone.now(), "skip_reason": "Viewed the annotations."}
    if own.filter(status=SeatStatus.LAPSED).update(**ended) or own.exists():
        return
    task.assignments.create(
        seat_number=1, annotator_id=user.pk, project_id=task.project_id, priority=task.priority, **ended
    )


@transaction.atomic
def adjudicate(*, task: Task, tiers: list[list[int]], unacceptable: list[int], note: str, by: User) -> Adjudication:
    """Store an order that snapshots take instead of the votes; an earlier one is withdrawn and kept."""
    judgments = UnaryJudgment if task.kind == "unary" else Ranking
    if task.purpose != Purpose.WORK or not judgments._default_manager.filter(assignment__task=task).exists():
        raise NotPossible(gettext("This task has no annotations yet, so there is nothing to adjudicate."))
    withdraw(task=task, by=by)
    try:
        with transaction.atomic():
            decided = Adjudication.objects.create(
                task=task, tiers=tiers, unacceptable=unacceptable, note=note, adjudicated_by_id=by.pk
            )
            audit.record(AuditAction.ADJUDICATED, by=by, project=task.project, what=f"task {task.pk}")
            return decided
    except IntegrityError as conflict:
        raise NotPossible(
            gettext("Another reviewer has just adjudicated this task. View their ranking first.")
        ) from conflict


@transaction.atomic
def withdraw(*, task: Task, by: User) -> bool:
    """Withdraw the adjudication in force, so that the votes count again; return False where there is none."""
    standing = Adjudication.objects.in_force().filter(task=task)
    withdrawn = bool(standing.update(withdrawn_at=timezone.now(), withdrawn_by_id=by.pk))
    if withdrawn:
        audit.record(AuditAction.ADJUDICATION_WITHDRAWN, by=by, project=task.project, what=f"task {task.pk}")
    return withdrawn


@transaction.atomic
def mark_gold(*, task: Task, by: User, note: str, practice: bool = False) -> GoldAnswer:
    """Make the adjudicated order the known one; marking again takes the order and the note as they are now."""
    standing = Adjudication.objects.in_force().filter(task=task).first()
    if standing is None:
        raise NotPossible(gettext("Adjudicate the task first: the adjudicated ranking becomes the gold ranking."))
    if len(standing.tiers) < 2 and task.kind != "unary":
        raise NotPossible(gettext("A ranking that ties every response cannot measure agreement."))
    gold, _ = GoldAnswer.objects.update_or_create(
        task=task,
        defaults={
            "tiers": standing.tiers,
            "unacceptable": standing.unacceptable if task.kind == "unary" else [],
            "note": note,
            "practice": practice,
            "marked_by_id": by.pk,
        },
    )
    audit.record(AuditAction.GOLD_MARKED, by=by, project=task.project, what=f"task {task.pk}", practice=practice)
    return gold


@transaction.atomic
def unmark_gold(*, task: Task) -> None:
    """Stop using a known order as a check. Answers to it stay and are compared with nothing."""
    removed, _ = GoldAnswer.objects.filter(task=task).delete()
    if removed:
        audit.record(AuditAction.GOLD_UNMARKED, project=task.project, what=f"task {task.pk}")


@transaction.atomic
def set_practice(*, task: Task, practice: bool) -> None:
    if not GoldAnswer.objects.filter(task=task).update(practice=practice):
        raise NotPossible(gettext("This task has no gold ranking, so it cannot be used for practice."))
    audit.record(AuditAction.GOLD_PRACTICE, project=task.project, what=f"task {task.pk}", practice=practice)


@transaction.atomic
def update_weights(*, project: Project) -> int:
    """Compute every annotator's weight from their judgments until now; return how many changed.

    An explicit act, so that two snapshots of the same judgments only differ on purpose.
    """
    changed = 0
    for person, weight in weights(read_records(project)).items():
        membership = Membership.objects.filter(project=project, user_id=person).exclude(weight=weight)
        changed += membership.update(weight=weight)
    audit.record(AuditAction.WEIGHTS, project=project, changed=changed)
    return changed


def exclude(*, project: Project, annotator: User, reason: str, by: User) -> Exclusion:
    """Leave an annotator's judgments out of snapshots from now on; return the exclusion."""
    if not reason.strip():
        raise NotPossible(gettext("Give a reason: it is shown with the exclusion."))
    try:
        with transaction.atomic():
            audit.record(AuditAction.EXCLUDED, by=by, subject=annotator, project=project)
            return Exclusion.objects.create(
                project=project, annotator_id=annotator.pk, reason=reason.strip()[:300], excluded_by_id=by.pk
            )
    except IntegrityError as conflict:
        raise NotPossible(gettext("%(annotator)s is already excluded.") % {"annotator": annotator}) from conflict


@transaction.atomic
def lift_exclusion(*, project: Project, annotator: User, by: User) -> bool:
    """Let an annotator's judgments count again; return whether they were excluded."""
    standing = Exclusion.objects.in_force().filter(project=project, annotator_id=annotator.pk)
    lifted = bool(standing.update(lifted_at=timezone.now(), lifted_by_id=by.pk))
    if lifted:
        audit.record(AuditAction.EXCLUSION_LIFTED, by=by, subject=annotator, project=project)
    return lifted


def exclusion_rate(project: Project) -> dict[str, int]:
    """Return how many rankings and unary judgments snapshots leave out because of who made them, and how many there
    are.
    """
    excluded = Exclusion.objects.in_force().filter(project=project, annotator=OuterRef("annotator"))
    judged = Assignment.objects.judged().filter(project=project, task__purpose=Purpose.WORK)
    votes = judged.filter(task__kind__in=["ranking", "unary"])
    return {"excluded": votes.filter(Exists(excluded)).count(), "all": votes.count()}


@transaction.atomic
def comment(*, assignment: Assignment, author: User, text: str) -> ReviewComment:
    """Store what a reviewer writes about an annotation, and tell its annotator."""
    stored = _store_comment(assignment, author, text)
    notifications.tell(
        [assignment.annotator_id],
        project=assignment.project,
        kind=NotificationKind.COMMENT,
        url=reverse("own_annotation", args=[assignment.project.slug, assignment.key]),
        by=author,
    )
    return stored


def _store_comment(assignment: Assignment, author: User, text: str) -> ReviewComment:
    if not text.strip():
        raise NotPossible(gettext("Write the comment first."))
    return ReviewComment.objects.create(assignment=assignment, author_id=author.pk, text=text.strip()[:5000])


@transaction.atomic
def reply(*, assignment: Assignment, author: User, text: str) -> ReviewComment:
    """Store what an annotator writes about their own annotation; the comments that they answer count as read.

    Those who commented are told, as far as they are still reviewers.
    """
    stored = _store_comment(assignment, author, text)
    reviewers = assignment.project.memberships.exclude(role=Role.ANNOTATOR).values("user")
    commented = ReviewComment.objects.filter(assignment=assignment, author__in=reviewers)
    notifications.tell(
        set(commented.values_list("author_id", flat=True)),
        project=assignment.project,
        kind=NotificationKind.COMMENT,
        url=reverse("record_annotation", args=[assignment.project.slug, assignment.pk]),
        by=author,
        reply=True,
    )
    ReviewComment.objects.filter(assignment=assignment, read_at=None).update(read_at=timezone.now())
    return stored


def mark_read(*, comment: ReviewComment) -> None:
    ReviewComment.objects.filter(pk=comment.pk, read_at=None).update(read_at=timezone.now())
