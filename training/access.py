"""Fetch the row that a URL names, for a member who may see it; 404 for everybody else, as in annotation.access."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet
from django.shortcuts import get_object_or_404

from annotation import access
from annotation.models import Evaluation, Membership, PolicyVersion, Proposal, Role
from training.models import Exchange, Metric, TemplateVersion, TrainingRound, TrainingRun, VerbalizerVersion


def get_round(user: User, slug: str, number: int, *, role: Role = Role.REVIEWER) -> TrainingRound:
    """Return a round of a project, by its number."""
    rounds = access.get_project(user, slug, role=role).rounds
    return get_object_or_404(rounds.select_related("project", "started_by"), number=number)


def rounds_with_curves(round: TrainingRound) -> QuerySet[TrainingRound]:
    """Return the other rounds of the project that ran one of its methods and have curves, the newest first."""
    alike = TrainingRun.objects.filter(
        Exists(Metric.objects.filter(run=OuterRef("pk"))),
        round=OuterRef("pk"),
        method__in=round.runs.values("method"),
    )
    return round.project.rounds.filter(Exists(alike)).exclude(pk=round.pk).order_by("-number")


def get_template(user: User, slug: str, pk: int) -> TemplateVersion:
    """Return a version of a template."""
    templates = access.get_project(user, slug, role=Role.REVIEWER).templates
    return get_object_or_404(templates.select_related("created_by"), pk=pk)


def get_verbalizer(user: User, slug: str, pk: int) -> VerbalizerVersion:
    """Return a version of a verbalizer."""
    verbalizers = access.get_project(user, slug, role=Role.REVIEWER).verbalizers
    return get_object_or_404(verbalizers.select_related("created_by"), pk=pk)


def get_evaluation(user: User, slug: str, number: int, *, role: Role = Role.REVIEWER) -> tuple[Evaluation, Membership]:
    """Return an evaluation, by its number, and the user's membership."""
    membership = access.get_membership(user, slug, role=role)
    evaluations = membership.project.evaluations.select_related("version", "opponent", "project")
    return get_object_or_404(evaluations, number=number), membership


def get_policy(user: User, slug: str, number: int, *, role: Role = Role.REVIEWER) -> tuple[PolicyVersion, Membership]:
    """Return a version of the policy, by its number, and the user's membership."""
    membership = access.get_membership(user, slug, role=role)
    policies = membership.project.policies.select_related("project", "parent")
    return get_object_or_404(policies, number=number), membership


def get_exchange(user: User, slug: str, pk: int) -> Exchange:
    """Return one of the user's own exchanges; those of others give 404."""
    own = access.get_project(user, slug, role=Role.REVIEWER).exchanges.filter(asked_by_id=user.pk)
    return get_object_or_404(own.select_related("project", "left", "right"), pk=pk)


def get_proposal(user: User, slug: str, pk: int) -> Proposal:
    """Return a proposed task."""
    proposals = access.get_project(user, slug, role=Role.REVIEWER).proposals
    return get_object_or_404(proposals.select_related("project", "batch__policy", "task"), pk=pk)
