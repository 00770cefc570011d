"""Merged copies for download: asked for on a page, made by a worker in a process of its own, kept beside the runs."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from annotation import audit, clock, live
from annotation.models import AuditAction, PolicyVersion
from training.executors.recipe_environment import environment_of_recipe
from training.models import Package, PackageStatus

logger = logging.getLogger(__name__)

GIVEN_UP_AFTER = timedelta(minutes=30)  # a worker that was killed leaves its package running
MOST_ATTEMPTS = 3
ERROR_CHARACTERS = 2000


@transaction.atomic
def ask_for(*, policy: PolicyVersion) -> Package:
    """Return the package of a version, which a worker will make; one that failed is tried again."""
    package, is_new = Package.objects.get_or_create(policy=policy)
    again = {"status": PackageStatus.QUEUED, "attempt": 0, "error": ""}
    if is_new or Package.objects.filter(pk=package.pk, status=PackageStatus.FAILED).update(**again):
        audit.record(AuditAction.PACKAGE, project=policy.project, what=str(policy))
        package.refresh_from_db()
    return package


def make_next() -> bool:
    """Make one package that waits, from start to end; return False where none does. Called between runs."""
    now = clock.now()
    lost = Q(status=PackageStatus.RUNNING, heartbeat_at__lt=now - GIVEN_UP_AFTER)
    waiting = Package.objects.filter(lost | Q(status=PackageStatus.QUEUED)).order_by("created_at")
    package = waiting.claim(status=PackageStatus.RUNNING, heartbeat_at=now)
    if package is None:
        return False
    _make(package)
    return True


def _make(package: Package) -> None:
    live.announce(package.policy.project_id, "round")
    if package.attempt > MOST_ATTEMPTS:
        status, error = PackageStatus.FAILED, f"The worker went away {MOST_ATTEMPTS} times while it merged."
    else:
        shutil.rmtree(package.path, ignore_errors=True)
        ended = subprocess.run(
            [sys.executable, "-m", "training.recipes.package", package.policy.checkpoint, str(package.path)],
            cwd=settings.BASE_DIR,
            env=environment_of_recipe(os.environ, {}),
            capture_output=True,
            text=True,
            check=False,
        )
        failed = ended.returncode != 0
        status = PackageStatus.FAILED if failed else PackageStatus.READY
        error = (ended.stderr or ended.stdout)[-ERROR_CHARACTERS:] if failed else ""
    Package.objects.still_ours(package).update(status=status, error=error)
    logger.info("%s: %s", package, PackageStatus(status).label)
    live.announce(package.policy.project_id, "round")
