"""From a URL to a round or a proposal, through annotation.access."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404

from annotation import access
from annotation.models import Evaluation, Membership, PolicyVersion, Proposal, Role
from training.models import Exchange, Metric, TemplateVersion, TrainingRound, TrainingRun, VerbalizerVersion


def get_round(user: User, slug: str, number: int, *, role: Role = Role.REVIEWER) -> TrainingRound:
    project = access.get_project(user, slug, role=role)
    round = project.rounds.select_related("project", "started_by").filter(number=number).first()
    if round is None:
        raise Http404("No such round")
    return round


def rounds_with_curves(round: TrainingRound) -> QuerySet[TrainingRound]:
    """Other rounds of the project that its curves can be laid beside: they ran one of its methods. Newest first."""
    alike = TrainingRun.objects.filter(
        Exists(Metric.objects.filter(run=OuterRef("pk"))),
        round=OuterRef("pk"),
        method__in=round.runs.values("method"),
    )
    return round.project.rounds.filter(Exists(alike)).exclude(pk=round.pk).order_by("-number")


def get_template(user: User, slug: str, pk: int) -> TemplateVersion:
    project = access.get_project(user, slug, role=Role.REVIEWER)
    version = project.templates.select_related("created_by").filter(pk=pk).first()
    if version is None:
        raise Http404("No such template")
    return version


def get_verbalizer(user: User, slug: str, pk: int) -> VerbalizerVersion:
    project = access.get_project(user, slug, role=Role.REVIEWER)
    version = project.verbalizers.select_related("created_by").filter(pk=pk).first()
    if version is None:
        raise Http404("No such verbalizer")
    return version


def get_evaluation(user: User, slug: str, number: int, *, role: Role = Role.REVIEWER) -> tuple[Evaluation, Membership]:
    membership = access.get_membership(user, slug, role=role)
    found = membership.project.evaluations.select_related("version", "opponent", "project").filter(number=number)
    evaluation = found.first()
    if evaluation is None:
        raise Http404("No such evaluation")
    return evaluation, membership


def get_policy(user: User, slug: str, number: int, *, role: Role = Role.REVIEWER) -> tuple[PolicyVersion, Membership]:
    membership = access.get_membership(user, slug, role=role)
    found = membership.project.policies.select_related("project", "parent").filter(number=number).first()
    if found is None:
        raise Http404("No such policy")
    return found, membership


def get_exchange(user: User, slug: str, pk: int) -> Exchange:
    """One's own: nobody reads what others asked."""
    project = access.get_project(user, slug, role=Role.REVIEWER)
    found = project.exchanges.filter(pk=pk, asked_by_id=user.pk).select_related("project", "left", "right").first()
    if found is None:
        raise Http404("No such exchange")
    return found


def get_proposal(user: User, slug: str, pk: int) -> Proposal:
    project = access.get_project(user, slug, role=Role.REVIEWER)
    proposal = project.proposals.select_related("project", "batch__policy", "task").filter(pk=pk).first()
    if proposal is None:
        raise Http404("No such proposal")
    return proposal
