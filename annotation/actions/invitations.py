"""Invite people by link, and let them join. A link is returned once, when it is made, and only its hash is stored."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop

from annotation import audit
from annotation.actions import coverage, projects
from annotation.delivery import mail
from annotation.errors import NotPossible
from annotation.models import AuditAction, Invitation, Membership, Project, Role

OVER = gettext_noop("This invitation was used, has expired or was revoked. Ask the sender for another one.")
MOST_AT_ONCE = 200


@transaction.atomic
def invite(
    *, project: Project, role: Role, by: User, days: int, uses: int = 1, notes: Sequence[str] = ("",)
) -> list[tuple[Invitation, str]]:
    """Create one invitation for each note and return each with its key, which is not stored."""
    if len(notes) > MOST_AT_ONCE:
        raise NotPossible(
            gettext("At most %(MOST_AT_ONCE)s invitations at once; these are %(count)s.")
            % {"MOST_AT_ONCE": MOST_AT_ONCE, "count": len(notes)}
        )
    made = []
    for note in notes:
        key = secrets.token_urlsafe(32)
        invitation = Invitation.objects.create(
            project=project,
            role=role,
            note=note,
            digest=_digest(key),
            uses=uses,
            expires_at=timezone.now() + timedelta(days=days),
            created_by=by,
        )
        audit.record(
            AuditAction.INVITED, by=by, project=project, what=f"invitation {invitation.pk}", role=role, uses=uses
        )
        made.append((invitation, key))
    return made


@transaction.atomic
def mail_link(*, invitation: Invitation, link: str, address: str) -> None:
    """Send an invitation to an address. Raises NotPossible where this server sends no mail."""
    if not mail.mail_is_on():
        raise NotPossible(gettext("This server sends no mail: EMAIL_HOST is not set. Copy the links instead."))
    Invitation.objects.filter(pk=invitation.pk).update(address=address)
    project, role = invitation.project, Role(invitation.role).label.lower()
    sender = invitation.created_by or gettext("An admin")
    invites = gettext("%(sender)s invites you to the project “%(project)s” as %(role)s.")
    how = gettext("Open this link to join. You create an account there and choose your own password:")
    until = gettext("The link is valid until %(until)s UTC. If you did not expect this mail, you can ignore it.")
    body = (
        f"{invites % {'sender': sender, 'project': project, 'role': role}}\n\n"
        f"{how}\n{link}\n\n"
        f"{until % {'until': f'{invitation.expires_at:%Y-%m-%d %H:%M}'}}\n"
    )
    subject = gettext("Invitation to %(project)s") % {"project": project}
    mail.write_to_address(project=project, address=address, subject=subject, body=body)


def find(key: str) -> Invitation | None:
    """Return the invitation of a key; None where it is unknown or over."""
    found = Invitation.objects.open(timezone.now()).select_related("project", "created_by")
    return found.filter(digest=_digest(key)).first()


@transaction.atomic
def accept(*, invitation: Invitation, user: User) -> Membership:
    """Make a person a member in the role of the invitation and return the membership.

    Somebody who has this role or a larger one keeps it, and the invitation stays for another person. Raises NotPossible
    where it is over.
    """
    project, role = invitation.project, Role(invitation.role)
    projects.lock_members(project)  # somebody may be giving them a larger role at this moment
    own = project.memberships.filter(user_id=user.pk).first()
    if own is not None and own.may_act_as(role):
        return own
    if not Invitation.objects.open(timezone.now()).filter(pk=invitation.pk).update(used=F("used") + 1):
        raise NotPossible(gettext(OVER))
    membership, _ = Membership.objects.update_or_create(project=project, user_id=user.pk, defaults={"role": role})
    coverage.open_seats_for_members(project=project)
    what = f"invitation {invitation.pk}"
    audit.record(AuditAction.JOINED, by=user, subject=user, project=project, what=what, role=role)
    return membership


@transaction.atomic
def revoke(*, invitation: Invitation, by: User) -> None:
    """End an invitation. Who has joined by it stays."""
    if Invitation.objects.filter(pk=invitation.pk, revoked_at=None).update(revoked_at=timezone.now()):
        what = f"invitation {invitation.pk}"
        audit.record(AuditAction.INVITATION_REVOKED, by=by, project=invitation.project, what=what)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
