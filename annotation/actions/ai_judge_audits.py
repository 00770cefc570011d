"""What becomes of takeovers: a version is asked about the audit share, and loses a slice on which it is worse now."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from annotation import audit, clock, live
from annotation.actions import ai_judges, notifications
from annotation.errors import NotPossible
from annotation.models import AIJudgeRun, AIJudgeRunStatus, AIJudgment, AuditAction, NotificationKind, Role
from annotation.models.ai_judge import MOST_PAIRS
from annotation.quality.drift import audit_figure, audit_pairs, is_worse
from annotation.quality.figures import Figure

AUDITED_EVERY = timedelta(minutes=10)  # about how long it takes until an annotation is final
AUDITED_AT_ONCE = 10  # pairs that people judged, from which on a version is asked about them


def audit_next() -> bool:
    """Look at one takeover whose audit is due; return False where none is."""
    now = clock.now()
    due = AIJudgeRun.objects.filter(Q(audited_at=None) | Q(audited_at__lte=now - AUDITED_EVERY), planned=True)
    due = due.filter(takeover=True, taken_back_at=None).select_related("version__judge__project")
    takeover = due.order_by(F("audited_at").asc(nulls_first=True), "pk").first()
    if takeover is None:
        return False
    if AIJudgeRun.objects.filter(pk=takeover.pk, audited_at=takeover.audited_at).update(audited_at=now):
        _audit(takeover)
    return True


def look_again(takeover: AIJudgeRun) -> None:
    """Let a worker look at a takeover at once: what its version was asked about the audit share is there now."""
    AIJudgeRun.objects.filter(pk=takeover.pk).update(audited_at=None)


def _audit(takeover: AIJudgeRun) -> None:
    found = audit_figure(takeover)
    AIJudgeRun.objects.filter(pk=takeover.pk).update(audit=asdict(found) | {"ci95": found.ci95})
    if is_worse(found):
        take_back(takeover=takeover, found=found)
        return
    version = takeover.version
    if version.runs.active().exists() or AIJudgment.objects.waiting().filter(run__audit_of=takeover).exists():
        return  # it has its turn later, or when an admin resumes the audit that failed
    asked = set(version.judgments.filter(repeat=0).values_list("task_id", "first_id", "second_id"))
    left = set(audit_pairs(takeover)) - asked
    if len(left) >= AUDITED_AT_ONCE:
        try:
            ai_judges.start_run(version=version, pairs=min(len(left), MOST_PAIRS), by=None, audit_of=takeover)
        except NotPossible:  # another run was started in this moment
            look_again(takeover)


@transaction.atomic
def take_back(*, takeover: AIJudgeRun, found: Figure) -> None:
    """End a takeover, stop its runs, and tell the admins: the version has this slice no more."""
    version, now = takeover.version, clock.now()
    slice_of: dict[str, Any] = {"dimension": takeover.dimension, "value": takeover.value}
    runs = AIJudgeRun.objects.filter(version=version, takeover=True, **slice_of)
    if not runs.filter(taken_back_at=None).update(taken_back_at=now):
        return
    runs.active().update(status=AIJudgeRunStatus.CANCELLED, finished_at=now)
    project, what = version.judge.project, f"{version.judge} {version}"
    figures: dict[str, Any] = {"difference": found.value, "low": found.low, "high": found.high, "prompts": found.n}
    audit.record(AuditAction.AI_JUDGE_TAKEN_BACK, project=project, what=what, **slice_of, **figures)
    admins = project.memberships.filter(role=Role.ADMIN, user__is_active=True).values_list("user_id", flat=True)
    notifications.tell(
        admins,
        project=project,
        kind=NotificationKind.JUDGE,
        url=version.judge.get_absolute_url(),
        judge=what,
        **slice_of,
    )
    live.announce(project.pk, "queue")
