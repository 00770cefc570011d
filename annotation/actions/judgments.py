"""Storing what people said. A repeated submit, known by its client UUID, answers from what is stored."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from annotation import live
from annotation.actions import NotPossible, seats
from annotation.kinds import KINDS
from annotation.models import Assignment, FirstVersion
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
    except (IntegrityError, NotPossible):
        # The same submit, sent twice at once: the other one won, and its judgment is the answer to both.
        if stored := _stored(assignment, client_uuid):
            return stored
        raise
    live.announce(assignment.project_id, "queue")
    return judgment


@transaction.atomic
def keep_first_version(*, assignment: Assignment, draft: dict[str, Any], active_ms: int) -> FirstVersion:
    """The text as it was before its writer saw the candidates; a repeated call keeps the first one."""
    text = str(draft.get("text") or "").strip()
    if not text:
        raise NotPossible("Write a first version of your own before you look at the other answers.")
    seats.save_draft(assignment=assignment, draft=draft, active_ms=active_ms)
    kept, _ = FirstVersion.objects.get_or_create(assignment=assignment, defaults={"text": text})
    return kept


def _stored(assignment: Assignment, client_uuid: UUID) -> Judgment | None:
    model = KINDS[assignment.task.kind].judgment
    return model._default_manager.filter(assignment=assignment, client_uuid=client_uuid).first()
