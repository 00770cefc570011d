"""Storing judgments. A repeated submit, known by its client UUID, answers from what is stored."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.translation import gettext

from annotation import live
from annotation.actions import assignments, coverage, practice, revisions
from annotation.delivery import webhooks
from annotation.errors import NotPossible
from annotation.kinds import KINDS, TaskKind
from annotation.models import Assignment, Event, FirstVersion
from annotation.models.judgment import Judgment


def submit(*, assignment: Assignment, client_uuid: UUID, answer: dict[str, Any], active_ms: int) -> Judgment:
    """Store one judgment and finish its seat, in one transaction.

    `answer` is the kind's cleaned form data. Raises NotPossible where the seat was finished with another judgment.
    """
    kind = KINDS[assignment.task.kind]
    try:
        with transaction.atomic():
            assignments.finish(assignment=assignment, active_ms=active_ms)
            judgment = kind.save(assignment=assignment, client_uuid=client_uuid, answer=answer)
            revisions.close(assignment)
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
                gettext(
                    "This task was submitted with another annotation: %(names)s differ from the stored one, "
                    "which stays. Undo the submission to change it."
                )
                % {"names": ", ".join(differing)}
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
        raise NotPossible(gettext("Save your own first draft before you view the model responses."))
    assignments.save_draft(assignment=assignment, draft=draft, active_ms=active_ms)
    kept, _ = FirstVersion.objects.get_or_create(assignment=assignment, defaults={"text": text})
    return kept


def _differing(kind: TaskKind, stored: Judgment, assignment: Assignment, answer: dict[str, Any]) -> list[str]:
    """Return the names of the fields in which a repeated submit differs from the stored judgment."""
    said = kind.stored(stored)
    return [name for name, value in kind.said(assignment=assignment, answer=answer).items() if said[name] != value]
