"""Alarms: a member reports that the policy as a whole has gone wrong; nothing is sampled until an admin has looked."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext

from annotation import audit, live
from annotation.delivery import webhooks
from annotation.errors import NotPossible
from annotation.models import Alarm, AuditAction, Event, Project


def open_alarm(project: Project) -> Alarm | None:
    return project.alarms.filter(settled_at=None).select_related("raised_by").first()


def raise_alarm(*, project: Project, note: str, by: User) -> Alarm:
    """Store an alarm, send it to the project's webhooks and show it on the project's page.

    Raises NotPossible where an alarm is already open.
    """
    try:
        with transaction.atomic():
            alarm = Alarm.objects.create(project=project, note=note, raised_by_id=by.pk)
            data = {"alarm": alarm.pk, "note": note, "raised_by": by.get_username()}
            webhooks.record_event(project=project, event=Event.ALARM, data=data)
            audit.record(AuditAction.ALARM, by=by, project=project, what=f"alarm {alarm.pk}")
    except IntegrityError as clash:
        raise NotPossible(
            gettext("A model problem is already reported, and an admin has not resolved it yet.")
        ) from clash
    live.announce(project.pk, "queue")
    live.announce(project.pk, "round")
    return alarm


@transaction.atomic
def settle(*, alarm: Alarm, by: User) -> None:
    """Close an alarm once an admin has looked: rounds may sample again; a paused one waits until it is resumed."""
    if not Alarm.objects.filter(pk=alarm.pk, settled_at=None).update(settled_by_id=by.pk, settled_at=timezone.now()):
        raise NotPossible(gettext("This report is already resolved."))
    audit.record(AuditAction.ALARM_SETTLED, by=by, project=alarm.project, what=f"alarm {alarm.pk}")
    live.announce(alarm.project_id, "queue")
