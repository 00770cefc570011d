"""Storing judgments. A repeated submit, known by its client UUID, answers from what is stored.

A judgment is never edited. For some minutes its author may take it back: it is deleted, and the seat is theirs again
with the judgment as its draft.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotation import live
from annotation.actions import assignments, coverage, practice
from annotation.delivery import webhooks
from annotation.errors import NotPossible
from annotation.kinds import KINDS, TaskKind
from annotation.models import (
    Assignment,
    Event,
    FirstVersion,
    Project,
    Purpose,
)
from annotation.models.judgment import Judgment
from annotation.models.task import UNDO_WITHIN


def submit(*, assignment: Assignment, client_uuid: UUID, answer: dict[str, Any], active_ms: int) -> Judgment:
    """Store one judgment and finish its seat, in one transaction.

    `answer` is the kind's cleaned form data. Raises NotPossible where the seat was finished with another judgment.
    """
    kind = KINDS[assignment.task.kind]
    try:
        with transaction.atomic():
            assignments.finish(assignment=assignment, active_ms=active_ms)
            judgment = kind.save(assignment=assignment, client_uuid=client_uuid, answer=answer)
            practice.settle(assignment=assignment)
            coverage.settle(task=assignment.task, project=assignment.project)
            _tell(assignment, judgment)
    except (IntegrityError, NotPossible):
        # The same submit, sent twice: its judgment is stored, and is the answer to both.
        stored = kind.judgment._default_manager.filter(assignment=assignment, client_uuid=client_uuid).first()
        if stored is None:
            raise
        if differing := _differing(kind, stored, assignment, answer):
            raise NotPossible(
                f"This task is finished with another answer: {', '.join(differing)} differ from what is stored, and "
                "what is stored stays. Undo it to change it."
            ) from None
        return stored
    live.announce(assignment.project_id, "queue")
    return judgment


def _tell(assignment: Assignment, judgment: Judgment) -> None:
    data = {
        "judgment_id": judgment.pk,
        "kind": assignment.task.kind,
        "task_id": assignment.task_id,
        "prompt_id": assignment.task.prompt_id,
        "annotator_id": assignment.annotator_id,
    }
    webhooks.record_event(project=assignment.project, event=Event.JUDGMENT, data=data)


@transaction.atomic
def keep_first_version(*, assignment: Assignment, draft: dict[str, Any], active_ms: int) -> FirstVersion:
    """Store and return the text as it was before its author saw the candidates; a repeated call keeps the first."""
    text = str(draft.get("text") or "").strip()
    if not text:
        raise NotPossible("Write a first version of your own before you look at the other answers.")
    assignments.save_draft(assignment=assignment, draft=draft, active_ms=active_ms)
    kept, _ = FirstVersion.objects.get_or_create(assignment=assignment, defaults={"text": text})
    return kept


def last_submitted(*, project: Project, by: User) -> Assignment | None:
    """Return the assignment that this person submitted last, if it is recent enough to be taken back."""
    judged = Assignment.objects.judged().filter(project=project, annotator_id=by.pk)
    recent = judged.filter(finished_at__gt=timezone.now() - UNDO_WITHIN)
    # After a practice task the known order was shown.
    recent = recent.filter(task__can_be_undone=True).exclude(task__purpose=Purpose.PRACTICE)
    return recent.order_by("-finished_at").first()


@transaction.atomic
def undo(*, project: Project, by: User) -> Assignment:
    """Take back what this person submitted last and return its assignment, held, with the judgment as its draft.

    A seat that they claimed meanwhile stays theirs with its own draft, and comes after this one.
    """
    assignment = last_submitted(project=project, by=by)
    if assignment is None:
        minutes = int(UNDO_WITHIN.total_seconds() // 60)
        raise NotPossible(f"There is nothing to undo: you have submitted nothing in the last {minutes} minutes.")
    kind = KINDS[assignment.task.kind]
    judgment = kind.judgment._default_manager.filter(assignment=assignment).first()
    if judgment is None:
        raise NotPossible("This was taken back already.")
    if snapshot := project.snapshots.filter(cutoff__gte=judgment.created_at).order_by("number").first():
        raise NotPossible(f"This judgment is in snapshot {snapshot.number} already and can no longer be taken back.")
    draft = kind.draft(judgment)
    kind.take_back(judgment)
    assignments.give_back(assignment=assignment, draft=draft)
    coverage.settle(task=assignment.task, project=project)
    live.announce(project.pk, "queue")
    return assignment


def _differing(kind: TaskKind, stored: Judgment, assignment: Assignment, answer: dict[str, Any]) -> list[str]:
    """Return the names of the fields in which a repeated submit differs from the stored judgment."""
    said = kind.stored(stored)
    return [name for name, value in kind.said(assignment=assignment, answer=answer).items() if said[name] != value]
