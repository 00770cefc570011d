"""Putting a version of the policy into use, a newer or an older one."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils.translation import gettext

from annotation import live
from annotation.errors import NotPossible
from annotation.models import PolicyVersion
from training.models import Promotion
from training.products.promotions import current_policy, store_promotion


def promote(*, policy: PolicyVersion, by: User, why: str) -> Promotion:
    """Put a version into use: rounds start from it and sample from it from now on. Raises NotPossible."""
    project = policy.project
    if project.rounds.active().exists():
        raise NotPossible(
            gettext(
                "A round is active and continues from the version it started with. Activate this version "
                "when the round is over, or cancel the round."
            )
        )
    if current_policy(project) == policy:
        raise NotPossible(gettext("%(policy)s is already active.") % {"policy": policy})
    try:
        with transaction.atomic():
            promotion = store_promotion(policy=policy, by=by, why=why.strip() or "By hand.")
    except IntegrityError as clash:
        raise NotPossible(gettext("Another version was activated at the same moment. Refresh the page.")) from clash
    live.announce(project.pk, "round")
    return promotion
