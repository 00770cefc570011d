from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.text import slugify

from annotation.actions import NotPossible
from annotation.models import Membership, PolicyVersion, Project, Role


@transaction.atomic
def create_project(*, project: Project, by: User) -> Project:
    """Save a new project, with a slug made of its name and its maker as admin."""
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


def set_member(*, project: Project, user: User, role: Role, by: User) -> Membership:
    own = project.memberships.filter(user_id=by.pk, role=Role.ADMIN)
    if user.pk == by.pk and role != Role.ADMIN and own.exists():
        raise NotPossible("You would lock yourself out. Ask another admin to change your role.")
    membership, _ = Membership.objects.update_or_create(project=project, user_id=user.pk, defaults={"role": role})
    return membership


@transaction.atomic
def register_base_policy(*, project: Project, checkpoint: str) -> PolicyVersion:
    """Version 0: the base model as prepared. Registering it again finds the one that is there."""
    policy, _ = PolicyVersion.objects.get_or_create(project=project, number=0, defaults={"checkpoint": checkpoint})
    return policy


@transaction.atomic
def add_policy(*, project: Project, checkpoint: str, parent: PolicyVersion) -> PolicyVersion:
    Project.objects.select_for_update().get(pk=project.pk)  # numbers are given one at a time
    newest = project.policies.order_by("-number").values_list("number", flat=True).first() or 0
    return PolicyVersion.objects.create(project=project, number=newest + 1, checkpoint=checkpoint, parent=parent)
