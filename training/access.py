"""From a URL to a round or a proposal, through annotation.access."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.http import Http404

from annotation import access
from annotation.models import Proposal, Role
from training.models import TrainingRound


def get_round(user: User, slug: str, number: int, *, role: Role = Role.REVIEWER) -> TrainingRound:
    project = access.get_project(user, slug, role=role)
    round = project.rounds.select_related("project", "started_by").filter(number=number).first()
    if round is None:
        raise Http404("No such round")
    return round


def get_proposal(user: User, slug: str, pk: int) -> Proposal:
    project = access.get_project(user, slug, role=Role.REVIEWER)
    proposal = project.proposals.select_related("project", "batch__policy", "task").filter(pk=pk).first()
    if proposal is None:
        raise Http404("No such proposal")
    return proposal
