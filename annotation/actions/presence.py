"""Who is at work: members whose work page has given a sign within the last minute.

A time on the membership and nothing else, so it is the same for all processes and a page shows it by reload, too.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q

from annotation import clock, live, pseudonyms
from annotation.models import Membership, Project

HERE_FOR = timedelta(minutes=1)


def arrive(*, membership_id: int) -> None:
    """Note that a user has a work page open; tell the others where it is the first for a while."""
    now = clock.now()
    membership = Membership.objects.filter(pk=membership_id)
    was_away = Q(at_work_at=None) | Q(at_work_at__lt=now - HERE_FOR)
    if membership.filter(was_away).update(at_work_at=now):
        _tell(membership_id)
    else:
        membership.update(at_work_at=now)


def leave(*, membership_id: int) -> None:
    """Note that a work page was closed. If the user has another one open, its next sign of life adds them again."""
    if Membership.objects.filter(pk=membership_id, at_work_at__isnull=False).update(at_work_at=None):
        _tell(membership_id)


def at_work(project: Project) -> list[Membership]:
    """Return who is at work, by the name that the reader sees: the order of hidden names would tell of them."""
    here = project.memberships.filter(at_work_at__gt=clock.now() - HERE_FOR).select_related("user")
    return sorted(here, key=lambda each: pseudonyms.known_as(project.pk, each.user).lower())


def _tell(membership_id: int) -> None:
    for project_id in Membership.objects.filter(pk=membership_id).values_list("project_id", flat=True):
        live.announce(project_id, "people")
