"""Delete feedback with the texts that it brought: of one end user, or of all that is older than a project keeps it.

A prompt or response that something else needs is not deleted: its text is removed. Files of snapshots never change.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from annotation import audit, clock
from annotation.actions import coverage, served
from annotation.actions.feedback import ORIGIN
from annotation.actions.served import ORIGIN as SERVED
from annotation.models import AuditAction, Candidate, Completion, Feedback, FeedbackChange, Project, Prompt, Task

AT_ONCE = 200
REMOVED = "[removed]"


@dataclass
class ErasedFeedback:
    """How many rows went, and of how many prompts and responses the text; `snapshots` may still hold some."""

    feedback: int = 0
    deleted: int = 0
    emptied: int = 0
    snapshots: list[int] = field(default_factory=list)


def erase_user(*, project: Project, user: str, by: User | None) -> ErasedFeedback:
    """Erase all feedback that an end user of the product gave, or once gave before an update; return what went."""
    earlier = FeedbackChange.objects.filter(feedback__project=project, before__user=user)
    theirs = project.feedback.filter(Q(user=user) | Q(pk__in=list(earlier.values_list("feedback", flat=True))))
    project.served_responses.filter(user=user).delete()
    return _erase(project, theirs, by, "of an end user")


def delete_old() -> int:
    """Delete the feedback that is older than its project keeps it; return how many rows. The worker calls it hourly."""
    served.delete_old()
    gone = 0
    for project in Project.objects.filter(feedback_days__gt=0):
        until = clock.now() - timedelta(days=project.feedback_days)
        gone += _erase(project, project.feedback.filter(updated_at__lt=until), None, "older than it is kept").feedback
    return gone


def _erase(project: Project, found: QuerySet[Feedback], by: User | None, what: str) -> ErasedFeedback:
    erased = ErasedFeedback()
    since = found.order_by("created_at").values_list("created_at", flat=True).first()
    if since is None:
        return erased
    while _erase_some(project, found, erased):
        pass
    erased.snapshots = sorted(project.snapshots.filter(cutoff__gte=since).values_list("number", flat=True))
    audit.record(
        AuditAction.FEEDBACK_ERASED, by=by, project=project, what=what, count=erased.feedback, emptied=erased.emptied
    )
    return erased


@transaction.atomic
def _erase_some(project: Project, found: QuerySet[Feedback], erased: ErasedFeedback) -> bool:
    """Erase a part of the feedback; return False where none was left."""
    part = list(found.select_for_update().order_by("pk")[:AT_ONCE])
    if not part:
        return False
    edits = {each.edit_id for each in part if each.edit_id}
    prompts = {each.prompt_id for each in part}
    Feedback.objects.filter(pk__in=[each.pk for each in part]).delete()
    erased.feedback += len(part)
    _drop_responses(project, prompts, edits, erased)
    _drop_prompts(project, prompts, erased)
    return True


def _drop_responses(project: Project, prompts: set[int], edits: set[int], erased: ErasedFeedback) -> None:
    """Delete the responses that feedback brought and none is about any more; empty those that stand in tasks.

    All of these prompts, so that an edit goes, too, which a later one of the same feedback replaced; and `edits`, also
    those that were accepted as references.
    """
    own = Completion.objects.filter(
        Q(origin=ORIGIN) | Q(origin__startswith=f"{SERVED}-") | Q(pk__in=edits),
        prompt__in=prompts,
        feedback=None,
        feedback_as_alternative=None,
        feedback_as_edit=None,
    ).exclude(text="")
    shown = own.filter(Exists(Candidate.objects.filter(completion=OuterRef("pk"))))
    emptied = list(shown.values_list("pk", flat=True))
    if emptied:
        tasks = Task.objects.filter(candidates__in=emptied).values_list("pk", flat=True).distinct()
        coverage.close_empty_seats(project=project, tasks=list(tasks))
        Completion.objects.filter(pk__in=emptied).update(text="", withdrawn_at=timezone.now())
    gone = own.exclude(pk__in=emptied)
    erased.emptied += len(emptied)
    erased.deleted += gone.count()
    gone.delete()


def _drop_prompts(project: Project, pks: set[int], erased: ErasedFeedback) -> None:
    """Delete the prompts that feedback brought and none is about any more; empty those that have tasks or responses."""
    own = Prompt.objects.filter(pk__in=pks, of_feedback=True, feedback=None)
    used = own.filter(Q(tasks__isnull=False) | Q(completions__isnull=False)).distinct()
    for prompt in used:
        tasks = list(prompt.tasks.values_list("pk", flat=True))
        coverage.close_empty_seats(project=project, tasks=tasks)
        prompt.messages = [{"role": "user", "content": REMOVED}]
        prompt.digest = hashlib.sha256(f"removed prompt {prompt.pk}".encode()).hexdigest()
        prompt.withdrawn_at = timezone.now()
        prompt.save(update_fields=["messages", "digest", "withdrawn_at"])
        erased.emptied += 1
    gone = own.exclude(pk__in=[prompt.pk for prompt in used])
    erased.deleted += gone.count()
    gone.delete()
