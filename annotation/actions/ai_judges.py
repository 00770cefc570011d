"""AI judges: make one, save a version of it, let a version judge pairs, stop it and go on."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils.translation import gettext

from annotation import audit, clock, live
from annotation.errors import NotPossible
from annotation.models import AIJudge, AIJudgeRun, AIJudgeRunStatus, AIJudgeVersion, AuditAction, Project
from annotation.models.ai_judge import ACTIVE_RUNS, VERSION_FIELDS
from annotation.outgoing import NotAllowed, model_server, model_servers
from annotation.quality.calibration import calibration
from annotation.quality.judge_trust import TAKEN_BACK, rows_of

RESUMABLE = (AIJudgeRunStatus.FAILED, AIJudgeRunStatus.CANCELLED)


def servers() -> list[str]:
    """Return the addresses of the servers that the operator lists."""
    return [server.url for server in model_servers(os.environ)]


@transaction.atomic
def make_judge(*, project: Project, name: str, by: User, **values: Any) -> AIJudge:
    """Return a new judge with its first version; `values` are those of VERSION_FIELDS.

    Raises NotPossible for a name that is taken, or a server that the operator does not list.
    """
    Project.objects.select_for_update().get(pk=project.pk)
    if project.ai_judges.filter(name=name).exists():
        raise NotPossible(gettext("This project has a judge called %(name)s already.") % {"name": name})
    judge = AIJudge.objects.create(project=project, name=name)
    save_version(judge=judge, by=by, **values)
    return judge


@transaction.atomic
def save_version(*, judge: AIJudge, by: User, **values: Any) -> AIJudgeVersion:
    """Return the judge's version with these values: a new one where they differ from the newest.

    `values` are those of VERSION_FIELDS. Raises NotPossible where the operator does not list the server.
    """
    AIJudge.objects.select_for_update().get(pk=judge.pk)
    try:
        values["server"] = model_server(values["server"], os.environ).url
    except NotAllowed as why:
        raise NotPossible(gettext("Model server: %(why)s") % {"why": why}) from None
    newest = judge.versions.newest()
    if newest is not None and all(getattr(newest, name) == values[name] for name in VERSION_FIELDS):
        return newest
    version: AIJudgeVersion = judge.versions.create(number=judge.versions.next_number(), created_by_id=by.pk, **values)
    audit.record(AuditAction.AI_JUDGE, by=by, project=judge.project, what=f"{judge} {version}")
    return version


@transaction.atomic
def set_prices(*, judge: AIJudge, by: User, input_price: Decimal | None, output_price: Decimal | None) -> None:
    """Set what tokens cost; costs of earlier judgments are shown by the new price."""
    before = {"input_price": judge.input_price, "output_price": judge.output_price}
    after = {"input_price": input_price, "output_price": output_price}
    if before != after:
        AIJudge.objects.filter(pk=judge.pk).update(**after)
        detail: dict[str, Any] = audit.changes(
            {name: str(value) for name, value in before.items()}, {name: str(value) for name, value in after.items()}
        )
        audit.record(AuditAction.AI_JUDGE, by=by, project=judge.project, what=str(judge), **detail)


def start_run(*, version: AIJudgeVersion, pairs: int, by: User | None, **more: Any) -> AIJudgeRun:
    """Have a worker let a version judge pairs that people judged, at most so many. Raises NotPossible while it does.

    `more` are the values of `take_over`, or the takeover that it is the audit of; an audit has no `by`.
    """
    project = version.judge.project
    try:
        with transaction.atomic():
            run = AIJudgeRun.objects.create(version=version, most_pairs=pairs, started_by=by, **more)
            what, told = f"{version.judge} {version}", dict(more)
            if takeover := told.pop("audit_of", None):
                told["audit_of"] = takeover.pk
            audit.record(AuditAction.AI_JUDGE_RUN, by=by, project=project, what=what, pairs=pairs, **told)
    except IntegrityError:
        raise NotPossible(gettext("This version is judging already. Stop that run first, or wait for it.")) from None
    live.announce(project.pk, "queue")
    return run


def take_over(
    *, version: AIJudgeVersion, dimension: str, value: str, pairs: int, audit_share: float, by: User
) -> AIJudgeRun:
    """Have a worker let a version judge pairs of a slice that nobody has judged; `audit_share` of the tasks stays out.

    Raises NotPossible where the version is not reliable on the slice, by its calibration as it is now.
    """
    rows = {(row.dimension, row.value): row for row in rows_of(calibration(version))}
    row = rows.get((dimension, value))
    if row is None:
        raise NotPossible(gettext("The calibration of this version has no such slice."))
    if not row.trust.may:
        raise NotPossible(gettext("This version is not reliable there: %(why)s.") % {"why": gettext(row.trust.why)})
    slice_of = {"dimension": dimension, "value": value, "audit_share": audit_share}
    return start_run(version=version, pairs=pairs, by=by, takeover=True, **slice_of)


@transaction.atomic
def cancel(*, run: AIJudgeRun, by: User) -> None:
    """Stop a run; what it has judged stays. One that has ended is left as it is."""
    project = run.version.judge.project
    stopped = AIJudgeRun.objects.filter(pk=run.pk, status__in=ACTIVE_RUNS)
    if stopped.update(status=AIJudgeRunStatus.CANCELLED, finished_at=clock.now()):
        what = f"{run.version.judge} {run.version}"
        audit.record(AuditAction.AI_JUDGE_CANCELLED, by=by, project=project, what=what)
        live.announce(project.pk, "queue")


def resume(*, run: AIJudgeRun, by: User) -> None:
    """Let a run that failed or was stopped go on with the pairs that are left. Raises NotPossible where none is."""
    project = run.version.judge.project
    if run.taken_back_at is not None:
        raise NotPossible(gettext("This version is not reliable there: %(why)s.") % {"why": gettext(TAKEN_BACK)})
    if run.planned and not run.judgments.waiting().exists():
        raise NotPossible(gettext("This run has no pairs left. Start a new one."))
    try:
        with transaction.atomic():
            again = AIJudgeRun.objects.filter(pk=run.pk, status__in=RESUMABLE)
            if again.queue(finished_at=None, error="", resumed_at=clock.now()):
                what = f"{run.version.judge} {run.version}"
                audit.record(AuditAction.AI_JUDGE_RUN, by=by, project=project, what=what)
    except IntegrityError:
        raise NotPossible(gettext("This version is judging already. Stop that run first, or wait for it.")) from None
    live.announce(project.pk, "queue")
