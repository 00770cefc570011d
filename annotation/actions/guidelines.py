"""Versions of a project's guidelines, and who has acknowledged which."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.urls import reverse
from django.utils.translation import gettext

from annotation import clock
from annotation.actions import notifications
from annotation.errors import NotPossible
from annotation.models import GuidelinesVersion, Membership, NotificationKind, Project


class ReadGuidelinesFirst(NotPossible):
    """The queue opens once the newest version of the guidelines is acknowledged."""


def store_version(*, project: Project, by: User) -> GuidelinesVersion | None:
    """Store the project's guidelines as a new version where they differ from the newest; return the newest.

    Who writes a version has acknowledged it. Call it in the transaction that saves the project, whose row is locked.
    """
    newest = project.guidelines_versions.newest()
    if project.guidelines == (newest.text if newest else ""):
        number = newest.number if newest else 0
    else:
        number = project.guidelines_versions.next_number()
        newest = GuidelinesVersion.objects.create(
            project=project, number=number, text=project.guidelines, written_by_id=by.pk
        )
        own = project.memberships.filter(user_id=by.pk)
        own.update(guidelines_read=number, guidelines_read_at=clock.now())
        if number > 1:
            members = project.memberships.filter(user__is_active=True).values_list("user_id", flat=True)
            where = reverse("guidelines", args=[project.slug])
            kind = NotificationKind.GUIDELINES
            notifications.tell(members, project=project, kind=kind, url=where, by=by, number=number)
    # The row that was saved may have been read before another admin's change.
    Project.objects.filter(pk=project.pk).update(guidelines_number=number)
    project.guidelines_number = number
    return newest


def must_read(project: Project, *, read: int) -> bool:
    """Return whether a person whose newest acknowledged version is `read` has a newer one to read."""
    return bool(project.guidelines) and read < project.guidelines_number


def require(project: Project, *, read: int) -> None:
    """Raise ReadGuidelinesFirst where `must_read`."""
    if must_read(project, read=read):
        raise ReadGuidelinesFirst(
            gettext(
                "Read version %(number)s of the guidelines and acknowledge it first. Programs send its number to "
                "guidelines/acknowledge/."
            )
            % {"number": project.guidelines_number}
        )


@transaction.atomic
def acknowledge(*, membership: Membership, number: int) -> None:
    """Store that a member has read the newest version of the guidelines. The same again changes nothing.

    Raises NotPossible where `number` is no longer, or not yet, the newest.
    """
    newest = Project.objects.filter(pk=membership.project_id).values_list("guidelines_number", flat=True).get()
    if number != newest or not newest:
        raise NotPossible(
            gettext("The guidelines have changed while you read them: version %(number)s is the newest.")
            % {"number": newest}
        )
    Membership.objects.filter(pk=membership.pk, guidelines_read__lt=F("project__guidelines_number")).update(
        guidelines_read=newest, guidelines_read_at=clock.now()
    )
    membership.guidelines_read = newest
