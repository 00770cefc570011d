from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

from annotation.models import Membership, Project, Role


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
