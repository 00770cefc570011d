"""The figures of quality: of now for a small project, for a large one as a worker last made them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from annotation import clock, live
from annotation.models import Assignment, FiguresStatus, Project, QualityFigures
from annotation.quality.report import build_report, quality_report, with_people

logger = logging.getLogger(__name__)

MANY_JUDGMENTS = 2000  # below it the figures take less than half a second, so they are made anew each time
OLD_AFTER = timedelta(minutes=10)
ASKED_AGAIN_AFTER = timedelta(minutes=1)  # where making them failed
LOST_AFTER = timedelta(minutes=30)


def figures_of(project: Project, *, to: User | None = None, anew: bool = False) -> dict[str, Any] | None:
    """Return the figures with `computed_at`; None where a worker has yet to make them for the first time.

    Those of a large project are at most ten minutes old where a worker runs, and older while it makes new ones
    (`is_being_made`). Weights and exclusions are those of now in any case, as people decide on them. `to`: a person who
    may still judge; judgments of tasks that are blind to them are left out.
    """
    judged = Assignment.objects.judged().filter(project=project)
    if judged[: MANY_JUDGMENTS + 1].count() <= MANY_JUDGMENTS:
        return quality_report(project, to=to)
    QualityFigures.objects.bulk_create([QualityFigures(project=project, reader=to)], ignore_conflicts=True)
    row = QualityFigures.objects.filter(project=project, reader=to)
    now = clock.now()
    old = Q(made_at=None) | Q(made_at__lt=now - OLD_AFTER)
    failed = ~Q(asked_at__lt=now - ASKED_AGAIN_AFTER)
    may_be_asked = Q(status=FiguresStatus.MADE) if anew else Q(status=FiguresStatus.MADE) & old & ~failed
    row.filter(may_be_asked).update(status=FiguresStatus.ASKED, asked_at=now)
    kept = row.get()
    if kept.figures is None:
        return None
    report = {**kept.figures, "computed_at": kept.made_at, "is_being_made": kept.status != FiguresStatus.MADE}
    return with_people(project, report)


def work_next(stopping: Callable[[], bool] = lambda: False) -> bool:
    """Make the figures that were asked for first; return False where none were."""
    now = clock.now()
    lost = Q(status=FiguresStatus.RUNNING, heartbeat_at__lt=now - LOST_AFTER)
    waiting = QualityFigures.objects.filter(lost | Q(status=FiguresStatus.ASKED)).order_by("asked_at", "pk")
    row = waiting.claim(status=FiguresStatus.RUNNING, heartbeat_at=now)
    if row is None:
        return False
    ours = QualityFigures.objects.still_ours(row)
    try:
        with transaction.atomic():
            report = build_report(row.project, row.reader)
    except Exception:
        logger.exception("%s were not made", row)
        ours.update(status=FiguresStatus.MADE)  # the old ones stay; they are asked for again after a minute
        return True
    made_at = report.pop("computed_at")
    ours.update(status=FiguresStatus.MADE, figures=report, made_at=made_at)
    live.announce(row.project_id, "queue")
    return True
