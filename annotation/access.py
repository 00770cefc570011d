"""Fetch the row that a URL names, for a user who may see it. A stranger and a missing row get the same answer: 404."""

from __future__ import annotations

from typing import TypeVar

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext, ngettext

from annotation.errors import NotPossible
from annotation.models import (
    AIJudge,
    AIJudgeRun,
    AIJudgeVersion,
    AIJudgment,
    Alarm,
    Assignment,
    Candidate,
    Completion,
    DatasetSnapshot,
    Delivery,
    Flag,
    Invitation,
    Membership,
    Notification,
    Project,
    Prompt,
    PromptUpload,
    Purpose,
    Ranking,
    ReferenceAnswer,
    ReviewComment,
    Role,
    SavedView,
    Source,
    Task,
    UnaryJudgment,
    Webhook,
)
from annotation.models.prepared import Prepared
from annotation.models.task import COUNTED_OPEN, JUDGED
from annotation.opaque import number_of

_own_assignment = Prepared(
    lambda user, slug, pk: Assignment.objects.filter(
        pk=pk, annotator=user, project__slug=slug, project__memberships__user=user
    ).select_related("task__prompt", "task__proposal", "project"),
    user=int,
    slug=str,
    pk=int,
)


_own_membership = Prepared(
    lambda user, slug: Membership.objects.select_related("project").filter(user=user, project__slug=slug),
    user=int,
    slug=str,
)
Said = TypeVar("Said", Ranking, UnaryJudgment)


class CountUpTo(Subquery):
    """The number of rows of a query that has a limit: no row after the limit is read."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"


def projects_of(user: User) -> QuerySet[Project]:
    """Return the user's projects, each with `own_role` and with `open_seats`, counted up to COUNTED_OPEN."""
    empty = Assignment.objects.empty().filter(project=OuterRef("pk")).order_by()
    return Project.objects.filter(memberships__user=user).annotate(
        own_role=F("memberships__role"),
        open_seats=CountUpTo(empty.values("pk")[:COUNTED_OPEN], output_field=IntegerField()),
    )


def get_membership(user: User, slug: str, *, role: Role = Role.ANNOTATOR) -> Membership:
    """Return the user's membership of a project, if it allows acting as `role`.

    Not a member: 404, as for a project that does not exist. A member with too small a role: 403, as the project is
    no secret to them.
    """
    membership = _own_membership.first(user=user.pk, slug=slug) if user.pk else None
    if membership is None:
        raise Http404(f"{slug} is no project of this user.")
    if not membership.may_act_as(role):
        raise PermissionDenied(
            gettext("This requires the role %(label)s in %(project)s.")
            % {"label": role.label.lower(), "project": membership.project}
        )
    return membership


def get_project(user: User, slug: str, *, role: Role = Role.ANNOTATOR) -> Project:
    """Return a project of which the user is a member who may act as `role`."""
    return get_membership(user, slug, role=role).project


def may_create_projects(user: User) -> bool:
    """Return whether a person may make projects: everybody, or those with the permission, as the server is set."""
    return settings.PROJECT_CREATORS == "all" or user.has_perm("annotation.add_project")


def get_invitation(user: User, slug: str, pk: int) -> Invitation:
    """Return an invitation, for an admin."""
    project = get_project(user, slug, role=Role.ADMIN)
    return get_object_or_404(project.invitations.select_related("project"), pk=pk)


def get_alarm(user: User, slug: str, pk: int) -> Alarm:
    """Return an alarm, for an admin."""
    project = get_project(user, slug, role=Role.ADMIN)
    return get_object_or_404(project.alarms.select_related("project"), pk=pk)


def get_member(user: User, slug: str, pk: int) -> Membership:
    """Return another person's membership, for an admin."""
    project = get_project(user, slug, role=Role.ADMIN)
    return get_object_or_404(project.memberships.select_related("user", "project"), pk=pk)


def get_assignment(user: User, slug: str, key: int) -> Assignment:
    """Return an assignment that is, or was, the user's own, by the key that stands for it."""
    own = _own_assignment.first(user=user.pk, slug=slug, pk=number_of(key, "assignment"))
    if own is None:
        raise Http404("No Assignment matches the given query.")
    return own


def get_flag(user: User, slug: str, pk: int) -> Flag:
    """Return a flag, for a reviewer."""
    project = get_project(user, slug, role=Role.REVIEWER)
    return get_object_or_404(project.flags.select_related("prompt", "completion"), pk=pk)


def get_snapshot(user: User, slug: str, number: int) -> DatasetSnapshot:
    """Return a snapshot by its number, for a reviewer."""
    return get_object_or_404(get_project(user, slug, role=Role.REVIEWER).snapshots, number=number)


def get_snapshot_rows(user: User, slug: str, number: int) -> DatasetSnapshot:
    """Return a snapshot for a member who may read its rows: they tell who judged and who wrote what, and what an AI
    judge said where the snapshot asks for that.

    Raises NotPossible for a reviewer to whom some of that is still blind.
    """
    snapshot = get_snapshot(user, slug, number)
    if blind_reader(user, snapshot.project) is None:
        return snapshot
    blind = Task.objects.filter(project=snapshot.project).blind_to(user)
    judged = Assignment.objects.judged().filter(task=OuterRef("pk"), finished_at__lte=snapshot.cutoff)
    written = Candidate.objects.filter(task=OuterRef("pk"), completion__source=Source.PERSON)
    by_judge = AIJudgment.objects.usable().filter(
        task=OuterRef("pk"), version=snapshot.filter.get("judge"), settled_at__lte=snapshot.cutoff
    )
    told = blind.filter(Exists(judged) | Exists(written) | Exists(by_judge)).count()
    if told:
        raise NotPossible(
            ngettext(
                "Snapshot %(number)s may reveal annotations of %(told)s task that you may still "
                "annotate. Annotate them, or open them under Review and choose to view them; or ask an "
                "admin for the file.",
                "Snapshot %(number)s may reveal annotations of %(told)s tasks that you may still "
                "annotate. Annotate them, or open them under Review and choose to view them; or ask an "
                "admin for the file.",
                told,
            )
            % {"number": number, "told": f"{told:,}"}
        )
    return snapshot


def get_upload(user: User, slug: str, pk: int) -> PromptUpload:
    """Return a file that this admin uploaded, or that the command imported."""
    return get_object_or_404(uploads(user, get_project(user, slug, role=Role.ADMIN)), pk=pk)


def uploads(user: User, project: Project) -> QuerySet[PromptUpload]:
    """Return the files that an admin uploaded into a project, and those that the command imported, newest first."""
    mine = Q(uploaded_by=user) | Q(uploaded_by=None)
    return PromptUpload.objects.filter(mine, project=project).order_by("-pk")


def get_ranked_task(user: User, slug: str, pk: int) -> Task:
    """Return a task that was ranked or judged good or bad, for a reviewer. No check is among them."""
    project = get_project(user, slug, role=Role.REVIEWER)
    judged = Assignment.objects.judged().filter(task=OuterRef("pk"))
    ranked = project.tasks.filter(Exists(judged), purpose=Purpose.WORK, kind__in=["ranking", "unary"])
    return get_object_or_404(ranked.select_related("prompt", "project"), pk=pk)


def seen_by(user: User, project: Project, judgments: QuerySet[Said]) -> QuerySet[Said]:
    """Return the judgments that a member sees: for a reviewer, those of tasks that they cannot judge any more.

    Admins, who also import, export and train, see all.
    """
    if blind_reader(user, project) is None:
        return judgments
    return judgments.exclude(assignment__task__in=Task.objects.filter(project=project).blind_to(user).values("pk"))


def references_seen_by(user: User, project: Project, answers: QuerySet[ReferenceAnswer]) -> QuerySet[ReferenceAnswer]:
    """Return the written responses that a member sees: a reviewer not those that stand in a task they may yet judge.

    Whose text an answer is would tell a person's from a model's there.
    """
    if blind_reader(user, project) is None:
        return answers
    blind = Task.objects.filter(project=project).blind_to(user).values("pk")
    standing = Candidate.objects.filter(task__in=blind, completion=OuterRef("completion"))
    return answers.exclude(assignment__task__in=blind).exclude(Exists(standing))


def blind_reader(user: User, project: Project) -> User | None:
    """Return the user where what they may yet judge has to stay blind to them; None for admins, who see all."""
    return None if get_membership(user, project.slug).may_act_as(Role.ADMIN) else user


def get_judged_assignment(user: User, slug: str, pk: int) -> Assignment:
    """Return an assignment that was submitted, for a reviewer."""
    project = get_project(user, slug, role=Role.REVIEWER)
    judged = project.assignments.filter(annotator__isnull=False, status__in=JUDGED)
    return get_object_or_404(judged.select_related("task__prompt", "annotator", "project"), pk=pk)


def get_prompt(user: User, slug: str, pk: int, *, role: Role = Role.REVIEWER) -> Prompt:
    """Return a prompt of a project, archived or not."""
    project = get_project(user, slug, role=role)
    return get_object_or_404(project.prompts.select_related("project", "upload", "replaces"), pk=pk)


def get_response(user: User, slug: str, pk: int) -> Completion:
    """Return a response, for a reviewer."""
    project = get_project(user, slug, role=Role.REVIEWER)
    return get_object_or_404(project.completions.select_related("prompt", "policy", "author", "project"), pk=pk)


def get_task(user: User, slug: str, pk: int) -> Task:
    """Return a task of any kind, for a reviewer."""
    project = get_project(user, slug, role=Role.REVIEWER)
    return get_object_or_404(project.tasks.select_related("prompt", "proposal", "project"), pk=pk)


def get_saved_view(user: User, slug: str, pk: int) -> SavedView:
    """Return a saved view of the user's own, for a reviewer."""
    project = get_project(user, slug, role=Role.REVIEWER)
    return get_object_or_404(project.saved_views.filter(owner=user), pk=pk)


def get_annotator(user: User, slug: str, pk: int) -> tuple[Project, User]:
    """Return a project and a person who has or had an assignment in it, member or not any more, for an admin."""
    project = get_project(user, slug, role=Role.ADMIN)
    return project, get_object_or_404(User.objects.filter(assignments__project=project).distinct(), pk=pk)


def get_own_comment(user: User, slug: str, pk: int) -> ReviewComment:
    """Return a reviewer's comment on a judgment of this user's."""
    project = get_project(user, slug)
    return get_object_or_404(ReviewComment, pk=pk, assignment__project=project, assignment__annotator_id=user.pk)


def get_notification(user: User, pk: int) -> Notification:
    """Return what this user was told, of a project that they are a member of."""
    own = Notification.objects.filter(user=user, project__memberships__user=user)
    return get_object_or_404(own, pk=pk)


def get_webhook(user: User, slug: str, pk: int) -> Webhook:
    """Return a webhook, for an admin."""
    project = get_project(user, slug, role=Role.ADMIN)
    return get_object_or_404(project.webhooks.select_related("project"), pk=pk)


def get_delivery(user: User, slug: str, webhook: int, pk: int) -> Delivery:
    """Return a delivery of a webhook, for an admin."""
    return get_object_or_404(get_webhook(user, slug, webhook).deliveries, pk=pk)


def get_judge(user: User, slug: str, pk: int) -> AIJudge:
    """Return an AI judge, for an admin: what people said, which it is compared with, may be blind to reviewers."""
    project = get_project(user, slug, role=Role.ADMIN)
    return get_object_or_404(project.ai_judges.select_related("project"), pk=pk)


def get_judge_version(user: User, slug: str, judge: int, number: int) -> AIJudgeVersion:
    """Return a version of an AI judge by its number, for an admin."""
    versions = get_judge(user, slug, judge).versions
    return get_object_or_404(versions.select_related("judge__project", "created_by"), number=number)


def get_judge_run(user: User, slug: str, judge: int, pk: int) -> AIJudgeRun:
    """Return a run of an AI judge, for an admin."""
    runs = AIJudgeRun.objects.filter(version__judge=get_judge(user, slug, judge))
    return get_object_or_404(runs.select_related("version__judge__project"), pk=pk)
