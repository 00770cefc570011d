"""Record and find what people did. Actions call `record` in the transaction of what they do."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_noop

from annotation import origin
from annotation.models import AuditAction, AuditEvent, Project

logger = logging.getLogger("prefloop.audit")
# What events are about, by the texts that they are stored with; pages show them in the language of the reader.
ABOUT = (
    gettext_noop("alarm %(number)s"),
    gettext_noop("annotation %(number)s"),
    gettext_noop("flag %(number)s"),
    gettext_noop("invitation %(number)s"),
    gettext_noop("prompt %(number)s"),
    gettext_noop("round %(number)s"),
    gettext_noop("snapshot %(number)s"),
    gettext_noop("task %(number)s"),
    gettext_noop("upload %(number)s"),
    gettext_noop("file"),
    gettext_noop("file of proposed tasks"),
    gettext_noop("on"),
    gettext_noop("off"),
    gettext_noop("before %(day)s"),
    gettext_noop("more than %(count)s in a minute"),
    gettext_noop("%(count)s files and folders"),
    # From where.
    gettext_noop("page"),
    gettext_noop("server"),
    gettext_noop("token %(token)s"),
)
LONGEST = 200  # characters of a changed value that are kept
Actor = AbstractBaseUser | AnonymousUser | int | None


def record(
    action: AuditAction,
    *,
    by: Actor = None,
    subject: Actor = None,
    project: Project | None = None,
    what: str = "",
    **detail: Any,
) -> AuditEvent:
    """Store one event, with the address of the request, and log it as a line of JSON once that is committed.

    Without `by` it is the person whose request is being answered.
    """
    where = origin.current()
    actor = _id_of(by)
    event = AuditEvent.objects.create(
        action=action,
        actor_id=actor if actor is not None else where.user_id,
        subject_id=_id_of(subject),
        project_id=project.pk if project else None,
        what=what[:200],
        detail=json.loads(json.dumps(detail, cls=DjangoJSONEncoder, default=str)),
        address=where.address,
        via=where.via,
    )
    line = json.dumps(as_row(event), ensure_ascii=False)
    transaction.on_commit(lambda: logger.info(line))
    return event


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the values that differ as {name: [before, after]}, long ones cut."""
    return {name: [_short(before[name]), _short(after[name])] for name in before if before[name] != after[name]}


def as_row(event: AuditEvent) -> dict[str, Any]:
    """Return an event as it is logged, exported and given by the API."""
    return {
        "id": event.pk,
        "at": event.at.isoformat(),
        "action": event.action,
        "actor_id": event.actor_id,
        "subject_id": event.subject_id,
        "project_id": event.project_id,
        "what": event.what,
        "detail": event.detail,
        "address": event.address,
        "via": event.via,
    }


def find(
    *,
    project: Project | None = None,
    action: str = "",
    person: str = "",
    since: date | None = None,
    until: date | None = None,
) -> QuerySet[AuditEvent]:
    """Return events, newest first: of a project or of all, by action, by a person's user name, by day (UTC)."""
    found = AuditEvent.objects.select_related("actor", "subject", "project")
    if project is not None:
        found = found.filter(project=project)
    if action:
        found = found.filter(action=action)
    if person:
        found = found.filter(Q(actor__username=person) | Q(subject__username=person))
    if since:
        found = found.filter(at__date__gte=since)
    if until:
        found = found.filter(at__date__lte=until)
    return found


def trim(*, keep_days: int) -> int:
    """Delete events older than so many days, record that, and return how many there were; 0 days keep everything.

    The one deletion that the database lets through: its trigger is told of the day for this transaction only.
    """
    if keep_days <= 0:
        return 0
    before = timezone.now() - timedelta(days=keep_days)
    if not AuditEvent.objects.filter(at__lt=before).exists():
        return 0
    with transaction.atomic(), _deletable_before(before):
        deleted, _ = AuditEvent.objects.filter(at__lt=before).delete()
        record(AuditAction.AUDIT_TRIMMED, what=f"before {before:%Y-%m-%d}", rows=deleted, keep_days=keep_days)
    return deleted


@contextmanager
def _deletable_before(moment: datetime) -> Iterator[None]:
    """Let the database delete older events inside the transaction around this: SQLite knows no variables of one."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT set_config('prefloop.audit_deletable_before', %s, true)", [moment.isoformat()])
            yield
            cursor.execute("SELECT set_config('prefloop.audit_deletable_before', '', true)")
            return
        cursor.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = 'audit_no_delete'")
        trigger = cursor.fetchone()
        cursor.execute("DROP TRIGGER IF EXISTS audit_no_delete")
        yield
        if trigger:
            cursor.execute(trigger[0])


def _id_of(person: Actor) -> int | None:
    return person if isinstance(person, int) or person is None else person.pk


def _short(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return f"{text[: LONGEST - 1]}…" if len(text) > LONGEST else value
