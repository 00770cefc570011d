"""Storing what people said. A repeated submit, known by its client UUID, answers from what is stored."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from annotation import live
from annotation.actions import NotPossible, seats, webhooks
from annotation.kinds import KINDS
from annotation.models import Assignment, Event
from annotation.models.judgment import Judgment


def submit(*, assignment: Assignment, client_uuid: UUID, answer: dict[str, Any], active_ms: int) -> Judgment:
    """Store one judgment and finish its seat, in one transaction.

    `answer` is the kind's cleaned form data. Raises NotPossible where the seat was finished with another judgment.
    """
    kind = KINDS[assignment.task.kind]
    if stored := _stored(assignment, client_uuid):
        return stored
    try:
        with transaction.atomic():
            seats.finish(assignment=assignment)
            Assignment.objects.filter(pk=assignment.pk).update(active_ms=active_ms)
            judgment = kind.save(assignment=assignment, client_uuid=client_uuid, answer=answer)
            _tell(judgment)
    except (IntegrityError, NotPossible):
        # The same submit, sent twice at once: the other one won, and its judgment is the answer to both.
        if stored := _stored(assignment, client_uuid):
            return stored
        raise
    live.announce(assignment.project_id, "queue")
    return judgment


def _tell(judgment: Judgment) -> None:
    seat = judgment.assignment
    data = {"judgment_id": judgment.pk, "kind": seat.task.kind, "task_id": seat.task_id,
            "prompt_id": seat.task.prompt_id, "annotator_id": seat.annotator_id}  # fmt: skip
    webhooks.record_event(project=seat.project, event=Event.JUDGMENT, data=data)


def _stored(assignment: Assignment, client_uuid: UUID) -> Judgment | None:
    model = KINDS[assignment.task.kind].judgment
    return model._default_manager.filter(assignment=assignment, client_uuid=client_uuid).first()
