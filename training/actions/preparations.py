"""Asking for the base model of a project, and what a worker reports about it. `training.worker.preparation` does it."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils.translation import gettext

from annotation import audit, clock, live
from annotation.actions.projects import register_base_policy
from annotation.errors import NotPossible
from annotation.models import AuditAction, Project
from training.models import Preparation, PreparationStatus

GIVEN_UP_AFTER = timedelta(minutes=2)  # a worker that was killed leaves its preparation running
MOST_ATTEMPTS = 3
ERROR_CHARACTERS = 2000


def checkpoint_of(model: str) -> Path:
    """Return the folder of the prepared checkpoint of a model (Hugging Face id or local path)."""
    return Path(settings.MODEL_DIR) / re.sub(r"[^\w.-]+", "--", model.strip("/"))


@transaction.atomic
def ask_for(*, project: Project) -> Preparation:
    """Return the preparation of a project's base model, which a worker will do; one that failed is tried again.

    A model that another project has prepared here is version 0 at once. Raises NotPossible where there is a version 0.
    """
    Project.objects.select_for_update().get(pk=project.pk)  # two people ask one after the other
    if project.policies.exists():
        raise NotPossible(
            gettext("The base model of %(project)s is already prepared: it is version 0 of the policy.")
            % {"project": project}
        )
    preparation, is_new = Preparation.objects.get_or_create(project=project, defaults={"model": project.base_model})
    if not is_new:
        under_way = Q(model=project.base_model, status__in=[PreparationStatus.QUEUED, PreparationStatus.RUNNING])
        again = {
            "attempt": 0,
            "heartbeat_at": None,
            "phase": "",
            "percent": None,
            "error": "",
            "asked_at": clock.now(),
        }
        Preparation.objects.filter(pk=preparation.pk).exclude(under_way).update(
            model=project.base_model, status=PreparationStatus.QUEUED, **again
        )
        preparation.refresh_from_db()
    audit.record(AuditAction.MODEL_ASKED, project=project, what=project.base_model)
    if (checkpoint_of(project.base_model) / "config.json").exists():
        finish(preparation)
        preparation.refresh_from_db()
    return preparation


def claim() -> Preparation | None:
    """Return a preparation that waits, or whose worker is gone, as the caller's; None where there is none."""
    now = clock.now()
    lost = Q(status=PreparationStatus.RUNNING, heartbeat_at__lt=now - GIVEN_UP_AFTER)
    waiting = Preparation.objects.filter(lost | Q(status=PreparationStatus.QUEUED)).order_by("asked_at")
    preparation = waiting.claim(status=PreparationStatus.RUNNING, heartbeat_at=now)
    if preparation is not None and preparation.attempt > MOST_ATTEMPTS:
        fail(preparation, f"The worker went away {MOST_ATTEMPTS} times while it prepared the model.")
        return None
    return preparation


def report(preparation: Preparation, *, phase: str, percent: int | None) -> bool:
    """Store how far a preparation is; return whether it is still the caller's."""
    ours = Preparation.objects.still_ours(preparation)
    changed = ours.update(heartbeat_at=clock.now(), phase=phase[:300], percent=percent)
    if changed:
        live.announce(preparation.project_id, "round")
    return bool(changed)


@transaction.atomic
def finish(preparation: Preparation) -> None:
    """Register the prepared checkpoint as version 0, unless another model was asked for meanwhile."""
    ready = {"status": PreparationStatus.READY, "phase": "", "percent": None, "error": ""}
    if not Preparation.objects.still_ours(preparation).update(**ready):
        return
    project = Project.objects.select_for_update().get(pk=preparation.project_id)
    if project.base_model != preparation.model:
        error = f"The base model was changed to {project.base_model} meanwhile. Prepare that one."
        Preparation.objects.filter(pk=preparation.pk).update(status=PreparationStatus.FAILED, error=error)
    else:
        register_base_policy(project=project, checkpoint=str(checkpoint_of(preparation.model)))
    live.announce(project.pk, "round")


def fail(preparation: Preparation, error: str) -> None:
    """Store why a preparation failed, in words for the page."""
    failed = {"status": PreparationStatus.FAILED, "error": error[:ERROR_CHARACTERS], "percent": None}
    if Preparation.objects.still_ours(preparation).update(**failed):
        live.announce(preparation.project_id, "round")


def put_back(preparation: Preparation) -> None:
    """Give a preparation back for another worker to begin anew; this attempt does not count."""
    Preparation.objects.still_ours(preparation).update(
        status=PreparationStatus.QUEUED, attempt=F("attempt") - 1, phase="", percent=None
    )
