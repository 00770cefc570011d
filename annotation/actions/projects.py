from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from annotation import live
from annotation.actions import coverage, labels
from annotation.errors import NotPossible
from annotation.models import Assignment, Membership, PolicyVersion, Project, Role, SeatStatus


@transaction.atomic
def create_project(*, project: Project, by: User) -> Project:
    """Save and return a new project, with a slug made of its name and its creator as admin."""
    if not project.slug:
        project.slug = _free_slug(slugify(project.name)[:40] or "project")
    project.full_clean()
    project.save()
    Membership.objects.create(project=project, user_id=by.pk, role=Role.ADMIN)
    return project


def _free_slug(wanted: str) -> str:
    slug, number = wanted, 1
    while Project.objects.filter(slug=slug).exists():
        number += 1
        slug = f"{wanted}-{number}"
    return slug


@transaction.atomic
def set_member(*, project: Project, user: User, role: Role, by: User) -> Membership:
    """Add a member or change a role; return the membership. Raises NotPossible for one's own role of admin."""
    own = project.memberships.filter(user_id=by.pk, role=Role.ADMIN)
    if user.pk == by.pk and role != Role.ADMIN and own.exists():
        raise NotPossible("You would lock yourself out. Ask another admin to change your role.")
    membership, _ = Membership.objects.update_or_create(project=project, user_id=user.pk, defaults={"role": role})
    coverage.open_seats_for_members(project=project)
    return membership


@transaction.atomic
def remove_member(*, project: Project, user: User, by: User) -> None:
    """Remove a member. What they judged stays; the assignment they hold lapses at once, its draft is kept."""
    if user.pk == by.pk:
        raise NotPossible("You would lock yourself out. Ask another admin to remove you.")
    removed, _ = Membership.objects.filter(project=project, user_id=user.pk).delete()
    if removed:
        Assignment.objects.filter(project=project, annotator_id=user.pk, status=SeatStatus.HELD).update(
            expires_at=timezone.now()
        )
        transaction.on_commit(lambda: live.end_membership(project.pk, user.pk))


@transaction.atomic
def save_settings(*, project: Project) -> None:
    """Save what a form changed; open ranking tasks follow the number of seats."""
    before = Project.objects.values_list("seats_per_task", flat=True).get(pk=project.pk)
    project.save()
    if project.seats_per_task != before:
        coverage.follow_settings(project=project)
    labels.follow_settings(project=project)


def close(*, project: Project) -> None:
    """Close a project: it gives out no new tasks. What people hold can still be submitted."""
    Project.objects.filter(pk=project.pk, closed_at=None).update(closed_at=timezone.now())
    live.announce(project.pk, "queue")


def reopen(*, project: Project) -> None:
    """Open a closed project again."""
    Project.objects.filter(pk=project.pk).update(closed_at=None)
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
