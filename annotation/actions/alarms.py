"""Alarms: somebody finds that the policy as a whole has gone wrong; nothing is sampled until an admin has looked."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotation import live
from annotation.delivery import webhooks
from annotation.errors import NotPossible
from annotation.models import Alarm, Event, Project


def open_alarm(project: Project) -> Alarm | None:
    return project.alarms.filter(settled_at=None).select_related("raised_by").first()


def raise_alarm(*, project: Project, note: str, by: User) -> Alarm:
    """Told to the project's webhooks and shown on its page. Whoever is second is told that it is known."""
    try:
        with transaction.atomic():
            alarm = Alarm.objects.create(project=project, note=note, raised_by_id=by.pk)
            data = {"alarm": alarm.pk, "note": note, "raised_by": by.get_username()}
            webhooks.record_event(project=project, event=Event.ALARM, data=data)
    except IntegrityError as clash:
        raise NotPossible("Somebody raised the alarm already, and an admin has not settled it yet.") from clash
    live.announce(project.pk, "queue")
    live.announce(project.pk, "round")
    return alarm


def settle(*, alarm: Alarm, by: User) -> None:
    """An admin has looked: rounds may sample again. One that was paused waits for somebody to resume it."""
    if not Alarm.objects.filter(pk=alarm.pk, settled_at=None).update(settled_by_id=by.pk, settled_at=timezone.now()):
        raise NotPossible("Somebody settled this alarm already.")
    live.announce(alarm.project_id, "queue")
