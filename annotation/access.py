"""The only way from a URL to a row. A stranger and a missing row look the same: 404."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import Http404

from annotation.models import (
    Assignment,
    DatasetSnapshot,
    Delivery,
    Membership,
    Project,
    PromptUpload,
    Role,
    SeatStatus,
    Webhook,
)


def projects_of(user: User) -> QuerySet[Project]:
    return Project.objects.filter(memberships__user=user).annotate(
        open_seats=Count("assignments", filter=Q(assignments__status=SeatStatus.EMPTY), distinct=True)
    )


def get_membership(user: User, slug: str, *, role: Role = Role.ANNOTATOR) -> Membership:
    """The user's membership of a project, if it allows acting as `role`.

    Not a member: 404, as for a project that does not exist. A member with too small a role: 403, as the project is
    no secret to them.
    """
    membership = Membership.objects.select_related("project").filter(user=user, project__slug=slug).first()
    if membership is None:
        raise Http404("No such project")
    if not membership.may_act_as(role):
        raise PermissionDenied(f"This needs the role {role.label.lower()} in {membership.project}.")
    return membership


def get_project(user: User, slug: str, *, role: Role = Role.ANNOTATOR) -> Project:
    return get_membership(user, slug, role=role).project


def get_assignment(user: User, slug: str, pk: int) -> Assignment:
    """A seat that is, or was, this user's own."""
    get_membership(user, slug)
    assignment = (
        Assignment.objects.select_related("task__prompt", "project")
        .filter(annotator=user, project__slug=slug, pk=pk)
        .first()
    )
    if assignment is None:
        raise Http404("No such assignment")
    return assignment


def get_snapshot(user: User, slug: str, number: int) -> DatasetSnapshot:
    project = get_project(user, slug, role=Role.REVIEWER)
    snapshot = project.snapshots.filter(number=number).first()
    if snapshot is None:
        raise Http404("No such snapshot")
    return snapshot


def get_upload(user: User, slug: str, pk: int) -> PromptUpload:
    project = get_project(user, slug, role=Role.ADMIN)
    upload = PromptUpload.objects.filter(project=project, uploaded_by=user, pk=pk).first()
    if upload is None:
        raise Http404("No such upload")
    return upload


def get_webhook(user: User, slug: str, pk: int) -> Webhook:
    project = get_project(user, slug, role=Role.ADMIN)
    webhook = Webhook.objects.select_related("project").filter(project=project, pk=pk).first()
    if webhook is None:
        raise Http404("No such webhook")
    return webhook


def get_delivery(user: User, slug: str, webhook: int, pk: int) -> Delivery:
    delivery = get_webhook(user, slug, webhook).deliveries.filter(pk=pk).first()
    if delivery is None:
        raise Http404("No such delivery")
    return delivery
