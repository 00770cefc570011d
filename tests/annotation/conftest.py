from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

from annotation.actions import proposals
from annotation.models import Membership, Project, Proposal, ProposalBatch, Role


@pytest.fixture(autouse=True)
def _no_kept_figures() -> None:
    """What one test's quality page kept for a while is nothing to the next test's project."""
    cache.clear()


@pytest.fixture
def judge(project: Project) -> User:
    """Another annotator, whose rankings are there already when a test begins."""
    user = User.objects.create_user("judge")
    Membership.objects.create(project=project, user=user, role=Role.ANNOTATOR)
    return user


@pytest.fixture
def propose(project: Project) -> Callable[..., Proposal]:
    """A proposed task, waiting in the queue."""

    def make(
        instruction: str = "Name a colour of the sky.", input: str = "", output: str = "Blue.", **values: Any
    ) -> Proposal:
        batch, _ = ProposalBatch.objects.get_or_create(project=project, origin="run-1", defaults={"model": "small"})
        proposal = Proposal.objects.create(
            project=project,
            batch=batch,
            index=Proposal.objects.count(),
            instruction=instruction,
            input=input,
            output=output,
            digest=Proposal.digest_of(instruction, input, output),
            **values,
        )
        proposals.open_reviews(project=project, proposals=[proposal])
        return proposal

    return make
