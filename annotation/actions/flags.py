"""Flags: a member finds something wrong with a text; a reviewer dismisses the flag or withdraws the text.

A withdrawn text is in no new task. Tasks that are open keep the candidates they have: those never change.
"""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from annotation import audit
from annotation.errors import NotPossible
from annotation.models import Assignment, AuditAction, Completion, Flag, FlagReason, FlagStatus, Prompt


def flag(*, assignment: Assignment, completion: Completion | None, reason: FlagReason, note: str, by: User) -> Flag:
    """Store a flag on one answer of the task, or on its prompt; flagging again changes one's open flag."""
    if assignment.task.kind == "proposal":
        raise NotPossible(gettext("A proposed task cannot be reported: reject it, with the reason."))
    target = {"completion": completion} if completion else {"prompt": assignment.task.prompt}
    raised, is_new = Flag.objects.get_or_create(
        **target, raised_by_id=by.pk, defaults={"project": assignment.project, "reason": reason, "note": note}
    )
    if not is_new and not Flag.objects.filter(pk=raised.pk, status=FlagStatus.OPEN).update(reason=reason, note=note):
        raise NotPossible(gettext("You already reported this, and a reviewer has checked it."))
    raised.reason, raised.note = reason, note
    return raised


@transaction.atomic
def dismiss(*, flag: Flag, by: User) -> None:
    """Close a flag: the text stays in use."""
    _settle(flag, FlagStatus.DISMISSED, by)
    audit.record(AuditAction.FLAG_DISMISSED, by=by, project=flag.project, what=f"flag {flag.pk}", reason=flag.reason)


@transaction.atomic
def withdraw(*, flag: Flag, by: User) -> None:
    """Take a flagged text out of all later tasks, and close its other open flags with this one."""
    _settle(flag, FlagStatus.WITHDRAWN, by)
    now = timezone.now()
    Completion.objects.in_force().filter(flags=flag).update(withdrawn_at=now)
    Prompt.objects.in_force().filter(flags=flag).update(withdrawn_at=now)
    others = Flag.objects.filter(completion=flag.completion, prompt=flag.prompt, status=FlagStatus.OPEN)
    others.update(status=FlagStatus.WITHDRAWN, settled_by_id=by.pk, settled_at=now)
    text = f"answer {flag.completion_id}" if flag.completion_id else f"prompt {flag.prompt_id}"
    audit.record(AuditAction.TEXT_WITHDRAWN, by=by, project=flag.project, what=text, reason=flag.reason)


def _settle(flag: Flag, status: FlagStatus, by: User) -> None:
    settled = Flag.objects.filter(pk=flag.pk, status=FlagStatus.OPEN).update(
        status=status, settled_by_id=by.pk, settled_at=timezone.now()
    )
    if not settled:
        raise NotPossible(gettext("This report is already resolved."))
