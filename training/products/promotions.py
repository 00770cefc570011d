"""Which version of the policy is in use."""

from __future__ import annotations

from django.contrib.auth.models import User

from annotation import audit
from annotation.models import AuditAction, PolicyVersion, Project
from training.models import Promotion


def current_policy(project: Project | int) -> PolicyVersion:
    """Return the version promoted last; where none was, the newest one that did not fail its gate.

    Raises PolicyVersion.DoesNotExist where there is no version yet.
    """
    promotion = Promotion.objects.filter(project=project).select_related("policy").newest()
    if promotion is not None:
        return promotion.policy
    may_be_used = PolicyVersion.objects.filter(project=project).exclude(made_by__result__gate__passed=False)
    return may_be_used.order_by("-number")[:1].get()


def store_promotion(*, policy: PolicyVersion, by: User | None, why: str) -> Promotion:
    """Put a version into use. Raises IntegrityError if another one is promoted at the same time."""
    promotion = Promotion.objects.create(
        project_id=policy.project_id,
        number=Promotion.objects.filter(project=policy.project_id).next_number(),
        policy=policy,
        why=why[:500],
        by_id=by.pk if by else None,
    )
    audit.record(AuditAction.PROMOTED, by=by, project=policy.project, what=str(policy), why=promotion.why)
    return promotion
