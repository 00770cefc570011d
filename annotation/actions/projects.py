from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext

from annotation import audit, clock, live
from annotation.actions import coverage, guidelines, labels, notifications
from annotation.errors import NotPossible
from annotation.models import (
    Assignment,
    AuditAction,
    Membership,
    NotificationKind,
    PolicyVersion,
    Project,
    Role,
    SeatStatus,
)

TAKEN_SLUGS = {"new"}  # addresses below /projects/ that are no project


@transaction.atomic
def create_project(*, project: Project, by: User, like: Project | None = None) -> Project:
    """Save and return a new project, with a slug made of its name and its creator as admin; `like`: copied from it."""
    if not project.slug:
        project.slug = _free_slug(slugify(project.name)[:40] or "project")
    project.full_clean()
    project.save()
    Membership.objects.create(project=project, user_id=by.pk, role=Role.ADMIN)
    guidelines.store_version(project=project, by=by)
    copied: dict[str, Any] = {"like": like.slug} if like else {}
    audit.record(AuditAction.PROJECT_CREATED, by=by, project=project, what=project.slug, **copied)
    return project


def duplicate(*, project: Project, name: str, by: User) -> Project:
    """Return a new project with the settings, guidelines and base model of another; people and data are not copied."""
    settings = {field: getattr(project, field) for field in Project.SETTINGS}
    return create_project(project=Project(**settings | {"name": name}), by=by, like=project)


def _free_slug(wanted: str) -> str:
    slug, number = wanted, 1
    while slug in TAKEN_SLUGS or Project.objects.filter(slug=slug).exists():
        number += 1
        slug = f"{wanted}-{number}"
    return slug


@transaction.atomic
def set_member(*, project: Project, user: User, role: Role, by: User) -> Membership:
    """Add a member or change a role; return the membership. Raises NotPossible where no admin would be left."""
    lock_members(project)
    own = project.memberships.filter(user_id=by.pk, role=Role.ADMIN)
    if user.pk == by.pk and role != Role.ADMIN and own.exists():
        raise NotPossible(gettext("You cannot change your own role. Ask another admin."))
    before = project.memberships.filter(user_id=user.pk).values_list("role", flat=True).first()
    if role != Role.ADMIN:
        _refuse_to_lose_the_last_admin(project, user)
    membership, _ = Membership.objects.update_or_create(project=project, user_id=user.pk, defaults={"role": role})
    if before != role:
        audit.record(AuditAction.ROLE, by=by, subject=user, project=project, what=role, before=before)
        kind, where = NotificationKind.MEMBER, project.get_absolute_url()
        notifications.tell([user.pk], project=project, kind=kind, url=where, by=by, role=role)
    coverage.open_seats_for_members(project=project)
    return membership


@transaction.atomic
def remove_member(*, project: Project, user: User, by: User) -> None:
    """Remove a member. What they judged stays; the assignment they hold lapses at once, its draft is kept."""
    if user.pk == by.pk:
        raise NotPossible(gettext("You cannot remove yourself. Ask another admin."))
    lock_members(project)
    _refuse_to_lose_the_last_admin(project, user)
    removed, _ = Membership.objects.filter(project=project, user_id=user.pk).delete()
    if removed:
        audit.record(AuditAction.REMOVED, by=by, subject=user, project=project)
        Assignment.objects.filter(project=project, annotator_id=user.pk, status=SeatStatus.HELD).update(
            expires_at=clock.now()
        )
        transaction.on_commit(lambda: live.end_membership(project.pk, user.pk))


def lock_members(project: Project) -> None:
    """Let changes of a project's members wait for each other until the end of the transaction."""
    Project.objects.select_for_update().get(pk=project.pk)


def _refuse_to_lose_the_last_admin(project: Project, user: User) -> None:
    """Raise NotPossible where the project has no other admin whose account is open."""
    admins = project.memberships.filter(role=Role.ADMIN)
    if (
        admins.filter(user_id=user.pk).exists()
        and not admins.exclude(user_id=user.pk).filter(user__is_active=True).exists()
    ):
        raise NotPossible(
            gettext("%(user)s is the only admin of %(project)s. Make another member an admin first.")
            % {"user": user, "project": project}
        )


def refuse_to_lose_an_admin(user: User, *, superuser: bool = True, account: bool = True) -> None:
    """Raise NotPossible where an account is the only admin of a project, or the only superuser, that is open.

    `account`: it is closed or erased; `superuser`: it is no superuser any more. Inside a transaction: others who want
    the same wait until its end, and are then told what has become true.
    """
    if account:
        own = Project.objects.filter(memberships__user=user, memberships__role=Role.ADMIN).order_by("pk")
        list(Project.objects.select_for_update().filter(pk__in=[project.pk for project in own]).order_by("pk"))
        if alone := only_admin_of(user):
            names = ", ".join(map(str, alone))
            raise NotPossible(
                gettext("%(user)s is the only admin of %(names)s. Make another member an admin there first.")
                % {"user": user, "names": names}
            )
    if superuser or account:
        open_ones = User.objects.select_for_update().filter(is_superuser=True, is_active=True).order_by("pk")
        pks = [each.pk for each in open_ones]
        if pks == [user.pk]:
            raise NotPossible(
                gettext("%(user)s is the only superuser of this server. Make another account one first.")
                % {"user": user}
            )


def only_admin_of(user: User) -> list[Project]:
    """Return the projects that have no other admin whose account is open."""
    own = Project.objects.filter(memberships__user=user, memberships__role=Role.ADMIN)
    others = Membership.objects.filter(project=OuterRef("pk"), role=Role.ADMIN, user__is_active=True)
    return list(own.exclude(Exists(others.exclude(user_id=user.pk))))


@transaction.atomic
def save_settings(*, project: Project, by: User) -> None:
    """Save what a form changed; open ranking tasks follow the number of seats."""
    before = Project.objects.values(*Project.SETTINGS).get(pk=project.pk)
    project.save()
    guidelines.store_version(project=project, by=by)
    now = {name: getattr(project, name) for name in before}
    if changed := audit.changes(before, now):
        audit.record(AuditAction.SETTINGS, by=by, project=project, what=", ".join(changed), changed=changed)
    if project.seats_per_task != before["seats_per_task"]:
        coverage.follow_settings(project=project)
    labels.follow_settings(project=project)


@transaction.atomic
def close(*, project: Project, by: User) -> None:
    """Close a project: it gives out no new tasks. What people hold can still be submitted."""
    if Project.objects.filter(pk=project.pk, closed_at=None).update(closed_at=timezone.now()):
        audit.record(AuditAction.CLOSED, by=by, project=project)
    live.announce(project.pk, "queue")


@transaction.atomic
def archive(*, project: Project, by: User) -> None:
    """Close a project and take it out of people's lists. Nothing is deleted; opening it again brings it back."""
    close(project=project, by=by)
    if Project.objects.filter(pk=project.pk, archived_at=None).update(archived_at=timezone.now()):
        audit.record(AuditAction.ARCHIVED, by=by, project=project)


@transaction.atomic
def reopen(*, project: Project, by: User) -> None:
    """Open a closed or archived project again."""
    if Project.objects.filter(pk=project.pk, closed_at__isnull=False).update(closed_at=None, archived_at=None):
        audit.record(AuditAction.REOPENED, by=by, project=project)
    live.announce(project.pk, "queue")


@transaction.atomic
def register_base_policy(*, project: Project, checkpoint: str) -> PolicyVersion:
    """Return version 0, the base model as prepared; create it where it is missing."""
    policy, _ = PolicyVersion.objects.get_or_create(project=project, number=0, defaults={"checkpoint": checkpoint})
    return policy


@transaction.atomic
def add_policy(*, project: Project, checkpoint: str, parent: PolicyVersion) -> PolicyVersion:
    """Create and return the next version of the policy."""
    Project.objects.select_for_update().get(pk=project.pk)  # numbers are given one at a time
    number = project.policies.next_number()
    return PolicyVersion.objects.create(project=project, number=number, checkpoint=checkpoint, parent=parent)
