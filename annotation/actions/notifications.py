"""Tell people in the application what happened. Call `tell` inside the transaction of what it reports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet

from annotation import clock
from annotation.delivery import mail
from annotation.models import Notification, NotificationKind, Preferences, Project

COUNTED = 99  # unread ones; the bell counts no further


def tell(
    people: Iterable[int | None],
    *,
    project: Project,
    kind: NotificationKind,
    url: str,
    by: User | None = None,
    **data: Any,
) -> None:
    """Store a notification for each of these people, without the one who did it and those who switched the kind off.

    Those who chose mail for this kind get one, too.
    """
    told = {pk for pk in people if pk is not None and (by is None or pk != by.pk)}
    chosen = list(Preferences.objects.filter(user__in=told).values_list("user_id", "muted", "mailed"))
    mailed = {pk for pk, _, kinds in chosen if kind in kinds}
    mail.tell(project=project, people=mailed, text=lambda: Notification(kind=kind, data=data).text, path=url)
    told -= {pk for pk, muted, _ in chosen if kind in muted}
    Notification.objects.bulk_create(
        [Notification(user_id=pk, project=project, kind=kind, url=url[:300], data=data) for pk in sorted(told)],
        batch_size=500,
    )


def of(user: User) -> QuerySet[Notification]:
    """Return what a person was told of the projects that they are a member of, the newest first."""
    own = Notification.objects.filter(user=user, project__memberships__user=user)
    return own.select_related("project").order_by("-id")


def unread(user: User) -> int:
    """Return how many notifications a person has not opened, counted up to COUNTED + 1."""
    waiting = Notification.objects.filter(user=user, read_at=None, project__memberships__user=user)
    return waiting.order_by()[: COUNTED + 1].count()


def read(notifications: QuerySet[Notification]) -> int:
    """Note that notifications were read, and return how many were not before."""
    return notifications.order_by().filter(read_at=None).update(read_at=clock.now())
