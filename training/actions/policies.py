"""Which version is in use: promoting one, rolling back to one, and what rounds start from."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from annotation import live
from annotation.errors import NotPossible
from annotation.models import PolicyVersion, Project
from training.models import ACTIVE, Promotion


def current_policy(project: Project | int) -> PolicyVersion:
    """What was promoted last; the newest version where nothing was. A run's own version is promoted as it is made."""
    promotion = Promotion.objects.filter(project=project).select_related("policy").order_by("-number").first()
    if promotion is not None:
        return promotion.policy
    return PolicyVersion.objects.filter(project=project).order_by("-number")[:1].get()


def promote(*, policy: PolicyVersion, by: User, why: str) -> Promotion:
    """By hand, also an older version: rounds start from it, and sample from it, from now on."""
    project = policy.project
    if project.rounds.filter(status__in=ACTIVE).exists():
        raise NotPossible(
            "A round is active and goes on from what it began with. Promote when it is over, or cancel it."
        )
    if current_policy(project) == policy:
        raise NotPossible(f"{policy} is in use already.")
    try:
        with transaction.atomic():
            promotion = _promote(policy, by, why.strip() or "By hand.")
    except IntegrityError as clash:
        raise NotPossible("Somebody else promoted a version in the same moment. Look again.") from clash
    live.announce(project.pk, "round")
    return promotion


def promote_made(*, policy: PolicyVersion, why: str) -> Promotion:
    """What a run has just made. Called inside the transaction of its success."""
    return _promote(policy, None, why)


def _promote(policy: PolicyVersion, by: User | None, why: str) -> Promotion:
    last = Promotion.objects.filter(project=policy.project_id).order_by("-number").first()
    return Promotion.objects.create(
        project_id=policy.project_id,
        number=(last.number if last else 0) + 1,
        policy=policy,
        why=why[:500],
        by_id=by.pk if by else None,
    )
