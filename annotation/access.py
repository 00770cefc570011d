"""The only way from a URL to a row. A stranger and a missing row look the same: 404."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import IntegerField, OuterRef, QuerySet, Subquery
from django.http import Http404

from annotation.actions.queue import OPEN_COUNTED
from annotation.models import (
    Alarm,
    Assignment,
    DatasetSnapshot,
    Delivery,
    Flag,
    Membership,
    Project,
    PromptUpload,
    Purpose,
    ReviewComment,
    Role,
    SeatStatus,
    Task,
    Webhook,
)


def projects_of(user: User) -> QuerySet[Project]:
    """With their open seats, as far as a page counts them."""
    empty = Assignment.objects.filter(project=OuterRef("pk"), status=SeatStatus.EMPTY).order_by()
    return Project.objects.filter(memberships__user=user).annotate(
        open_seats=CountUpTo(empty.values("pk")[:OPEN_COUNTED], output_field=IntegerField())
    )


class CountUpTo(Subquery):
    """Counts the rows of a query that has a limit, and walks no further."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"


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


def get_alarm(user: User, slug: str, pk: int) -> Alarm:
    project = get_project(user, slug, role=Role.ADMIN)
    alarm = project.alarms.select_related("project").filter(pk=pk).first()
    if alarm is None:
        raise Http404("No such alarm")
    return alarm


def get_member(user: User, slug: str, pk: int) -> Membership:
    """Another person's membership, for an admin."""
    project = get_project(user, slug, role=Role.ADMIN)
    membership = project.memberships.select_related("user", "project").filter(pk=pk).first()
    if membership is None:
        raise Http404("No such member")
    return membership


def get_assignment(user: User, slug: str, pk: int) -> Assignment:
    """A seat that is, or was, this user's own."""
    mine = Assignment.objects.filter(annotator=user, project__slug=slug, project__memberships__user=user)
    try:
        return mine.select_related("task__prompt", "task__proposal", "project").get(pk=pk)
    except Assignment.DoesNotExist:
        raise Http404("No such assignment") from None


def get_flag(user: User, slug: str, pk: int) -> Flag:
    project = get_project(user, slug, role=Role.REVIEWER)
    flag = project.flags.select_related("prompt", "completion").filter(pk=pk).first()
    if flag is None:
        raise Http404("No such flag")
    return flag


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


def get_ranked_task(user: User, slug: str, pk: int) -> Task:
    """A task that people have ranked, for a reviewer. Checks of a person are none."""
    project = get_project(user, slug, role=Role.REVIEWER)
    ranked = project.tasks.filter(pk=pk, purpose=Purpose.WORK, assignments__ranking__isnull=False)
    task = ranked.select_related("prompt", "project").first()
    if task is None:
        raise Http404("No such task")
    return task


def get_judged_seat(user: User, slug: str, pk: int) -> Assignment:
    """Anybody's ranking in this project, for a reviewer."""
    project = get_project(user, slug, role=Role.REVIEWER)
    seat = project.assignments.filter(pk=pk, ranking__isnull=False).select_related("task", "annotator").first()
    if seat is None:
        raise Http404("No such judgment")
    return seat


def get_annotator(user: User, slug: str, pk: int) -> tuple[Project, User]:
    """Somebody who holds or held a seat in a project, for its admin. They need not be a member any more."""
    project = get_project(user, slug, role=Role.ADMIN)
    annotator = User.objects.filter(pk=pk, assignments__project=project).first()
    if annotator is None:
        raise Http404("No such annotator")
    return project, annotator


def get_own_comment(user: User, slug: str, pk: int) -> ReviewComment:
    """A comment on this user's own judgment."""
    project = get_project(user, slug)
    comment = ReviewComment.objects.filter(pk=pk, assignment__project=project, assignment__annotator_id=user.pk).first()
    if comment is None:
        raise Http404("No such comment")
    return comment


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
