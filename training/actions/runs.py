"""The life of a run, as the worker drives it.

QUEUED ─claim─▶ RUNNING ─settle─▶ SUCCEEDED | FAILED, and back to QUEUED when its worker went away. A run that succeeds
without passing its gate stops its round, if more was to come; what waits in a stopped round is not claimed. Every move
is one conditional UPDATE. `submission`, new with each claim, is the fencing token: a worker that lost its run to
another one updates nothing, and its recipe writes nothing into the run directory (`RunDir.admit`).
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, Subquery
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext_noop

from annotation import clock, live
from annotation.actions import notifications
from annotation.delivery import mail, webhooks
from annotation.models import Event, NotificationKind, Role
from annotation.plain_text import cleaned_text
from training.actions.round_mail import body_of, subject_of
from training.models import ACTIVE, FINAL, Metric, RoundStatus, RunStatus, TrainingRound, TrainingRun, rounds_may_be
from training.products import product_of
from training.products.base import Overtaken
from training.rundir import NO_SPACE, Row

TRIES_TO_SETTLE = 3
NEWEST_SHARE = 0.3  # of the last measured pace in the smoothed one
_FAILED = gettext_noop("%(stage)s failed.")
_FAILED_FOR = gettext_noop("%(stage)s failed: %(why)s")
_NO_SPACE = gettext_noop("No space left: %(size)s are free on the disk of %(folder)s.")
_EXIT_CODE = gettext_noop("The process ended with exit code %(code)s.")
_KILLED = gettext_noop("The process was killed by signal %(number)s.")
_KILLED_FOR_MEMORY = gettext_noop(
    "The process was killed by signal %(number)s, as the system does where memory runs out: smaller batches and "
    "shorter texts need less of it."
)
_WORKER_AWAY = gettext_noop("Its worker went away %(count)s times.")


class InvalidTransition(Exception):
    """The run has been moved by another process, whose transition is valid; this one is not."""


class Paused(Exception):
    """The round was paused: the process ends, and its run waits with its last state."""


def claim_run() -> TrainingRun | None:
    """Return the next queued run whose predecessors have all succeeded, now RUNNING; None where there is none."""
    unfinished_before = TrainingRun.objects.filter(round=OuterRef("round"), position__lt=OuterRef("position")).exclude(
        status=RunStatus.SUCCEEDED
    )
    # Projects take turns: the one that a worker served longest ago, or never, comes first.
    served = TrainingRun.objects.filter(round__project=OuterRef("round__project"), heartbeat_at__isnull=False)
    newest = served.order_by("-heartbeat_at").values("heartbeat_at")[:1]
    waiting = (
        TrainingRun.objects.filter(~Exists(unfinished_before), status=RunStatus.QUEUED, round__status__in=ACTIVE)
        .annotate(served_at=Subquery(newest))
        .order_by(F("served_at").asc(nulls_first=True), "round__created_at", "position")
    )
    with transaction.atomic():
        run = waiting.claim(status=RunStatus.RUNNING)
        if run is not None:
            TrainingRound.objects.filter(pk=run.round_id, status=RoundStatus.QUEUED).update(status=RoundStatus.RUNNING)
    return run


def check_ours(run: TrainingRun) -> None:
    """Raise InvalidTransition where another process has moved the run since it was claimed."""
    if not _ours(run).exists():
        raise InvalidTransition(f"run {run.pk} is no longer ours")


def heartbeat(*, run: TrainingRun, progress: Row | None, phase: str = "") -> None:
    """Store a sign of life, the phase and the progress so far, with its measured pace.

    Raises InvalidTransition if the run was cancelled or taken over.
    """
    now = clock.now()
    values: dict[str, Any] = {"heartbeat_at": now, "phase": _phase(phase)}
    if progress:
        values |= {
            "progress_done": progress["done"],
            "progress_total": progress["total"],
            "progress_unit": progress["unit"],
            **_pace(run, progress["done"], now),
        }
    if not _ours(run).update(**values):
        raise InvalidTransition(f"run {run.pk} is no longer ours")
    if TrainingRound.objects.filter(pk=run.round_id, status=RoundStatus.PAUSED).exists():
        raise Paused(f"{run.round} was paused")


def _phase(text: str) -> str:
    return cleaned_text(text)[: TrainingRun._meta.get_field("phase").max_length]


def _pace(run: TrainingRun, done: int, now: datetime) -> dict[str, Any]:
    """Return when progress last grew and the smoothed seconds of a unit; only what this attempt did is measured."""
    if run.measured is None:
        run.measured = (now, done)
        run.seconds_each = None
        return {"progressed_at": now, "seconds_each": None}
    since, before = run.measured
    if done <= before:
        return {}
    run.measured = (now, done)
    latest = (now - since).total_seconds() / (done - before)
    earlier = run.seconds_each
    run.seconds_each = latest if earlier is None else earlier + NEWEST_SHARE * (latest - earlier)
    return {"progressed_at": now, "seconds_each": run.seconds_each}


def note_job(*, run: TrainingRun, job: str) -> None:
    """Store which job a run has, before it is submitted, or that it has none. Raises InvalidTransition."""
    if run.job != job and not _ours(run).update(job=job):
        raise InvalidTransition(f"run {run.pk} is no longer ours")
    run.job = job


def has_successor(run: TrainingRun) -> bool:
    """Return whether a run that is no longer ours goes on: then its job is the next claim's matter."""
    goes_on = TrainingRun.objects.filter(pk=run.pk, status__in=ACTIVE)
    return goes_on.exclude(round__status=RoundStatus.PAUSED).exists()


def with_left_over_job() -> Iterable[TrainingRun]:
    """Return the runs that are over, or paused, and whose job may be alive."""
    not_needed = Q(status__in=FINAL) | Q(status=RunStatus.QUEUED, round__status=RoundStatus.PAUSED)
    return TrainingRun.objects.filter(not_needed).exclude(job="").select_related("round__project")


def forget_job(*, run: TrainingRun) -> None:
    """Store that a run's job is over, unless the run has another one by now."""
    TrainingRun.objects.filter(pk=run.pk, job=run.job).update(job="")


def save_metrics(*, run: TrainingRun, rows: Iterable[Row]) -> int:
    """Store metric lines; a resumed attempt writes the same steps again, and the later value stays."""
    metrics = [
        Metric(run=run, step=row["step"], name=name, value=float(value))
        for row in rows
        for name, value in row.items()
        if name != "step" and isinstance(value, int | float) and abs(value) != float("inf") and value == value
    ]
    Metric.objects.bulk_create(
        metrics,
        update_conflicts=True,
        unique_fields=["run", "name", "step"],
        update_fields=["value"],
        batch_size=500,
    )
    return len(metrics)


def settle_run(*, run: TrainingRun, exit_code: int, why_ended: str = "", interrupted: bool = False) -> None:
    """Record how the process ended. Success takes its effects with it in the same transaction.

    `why_ended` is what its engine says; `interrupted`: by the engine's rules, so that the attempt does not count if it
    got on.
    """
    save_metrics(run=run, rows=run.directory.metrics())
    result = run.directory.result()
    got_on = interrupted and _progressed(run)
    if exit_code == 0 and result is not None:
        _succeed(run, result)
    elif exit_code < 0 and (run.may_be_tried_again or got_on):
        # Killed from outside, out of memory for one: the next attempt resumes from the last state.
        going_on = "goes on from the last state" if run.directory.load_state() else "starts from the beginning"
        how = how_it_ended(run, exit_code, why_ended)
        run.directory.note(f"Attempt {run.attempt}: {how} The next one {going_on}.")
        if got_on:
            put_back(run=run)
        else:
            release_run(run=run)
    else:
        why = "no space left." if exit_code == NO_SPACE else ""
        fail_run(run=run, error=f"{how_it_ended(run, exit_code, why_ended)}\n{run.directory.log_tail()}", why=why)
    live.announce(run.round.project_id, "round")


def _progressed(run: TrainingRun) -> bool:
    """Return whether this attempt has got further than the one before it had."""
    progress = run.directory.progress()
    return progress is not None and progress["done"] > run.progress_done


def how_it_ended(run: TrainingRun, exit_code: int, why: str = "") -> str:
    """Return in words how a process ended: as its engine says, by a signal, out of disk space, or by an exit code."""
    if why:
        return cleaned_text(why)
    if exit_code == NO_SPACE:
        folder = run.directory.path
        return _NO_SPACE % {"size": filesizeformat(shutil.disk_usage(folder).free), "folder": folder}
    if exit_code >= 0:
        return _EXIT_CODE % {"code": exit_code}
    return (_KILLED_FOR_MEMORY if exit_code == -signal.SIGKILL else _KILLED) % {"number": -exit_code}


def release_run(*, run: TrainingRun) -> None:
    """Put a run back into the queue, for another attempt. Raises InvalidTransition."""
    if not _ours(run).update(status=RunStatus.QUEUED, phase=""):
        raise InvalidTransition(f"run {run.pk} is no longer ours")


def put_back(*, run: TrainingRun, phase: str = "") -> None:
    """Put a run back into the queue because its worker or its round was stopped, or as it cannot start yet, which
    `phase` explains: no attempt counts."""
    said = _phase(phase)
    _ours(run).update(status=RunStatus.QUEUED, heartbeat_at=clock.now(), attempt=F("attempt") - 1, phase=said)


@transaction.atomic
def fail_run(*, run: TrainingRun, error: str, why: str = "") -> None:
    """Fail a run and its round. `why` is a short reason for the list of rounds. Raises InvalidTransition."""
    now = clock.now()
    if not _ours(run).update(status=RunStatus.FAILED, error=error, finished_at=now):
        raise InvalidTransition(f"run {run.pk} is no longer ours")
    TrainingRun.objects.filter(round=run.round_id, status=RunStatus.QUEUED).update(
        status=RunStatus.CANCELLED, finished_at=now
    )
    failed = TrainingRound.objects.filter(pk=run.round_id, status__in=rounds_may_be(RoundStatus.FAILED)).update(
        status=RoundStatus.FAILED,
        finished_at=now,
        reason=(_FAILED_FOR if why else _FAILED) % {"stage": run.spec.label, "why": why},
    )
    if failed:
        tell_finished(run.round)


def reclaim_lost_runs() -> int:
    """Requeue runs whose worker's heartbeat stopped, or fail those out of attempts; return how many."""
    silent_since = clock.now() - timedelta(seconds=settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS)
    lost = TrainingRun.objects.filter(status=RunStatus.RUNNING, heartbeat_at__lt=silent_since)
    reclaimed = 0
    for run in lost.select_related("round__project"):
        try:
            if run.may_be_tried_again:
                release_run(run=run)
            else:
                tries = _WORKER_AWAY % {"count": run.attempt}
                fail_run(run=run, error=f"{tries}\n{run.directory.log_tail()}")
        except InvalidTransition:
            continue  # another worker reclaimed it first
        reclaimed += 1
        live.announce(run.round.project_id, "round")
    return reclaimed


def _ours(run: TrainingRun) -> Any:
    in_force = {"attempt": run.attempt, "submission": run.submission}
    return TrainingRun.objects.filter(pk=run.pk, status=RunStatus.RUNNING, **in_force)


def _succeed(run: TrainingRun, result: Row) -> None:
    """Store the success with all that it made: computed before, so that no transaction waits for it."""
    product = product_of(run.spec)
    for _ in range(TRIES_TO_SETTLE):
        run.computed = product.before_settling(run, _sign_of_life(run))
        try:
            _store_success(run, result)
        except Overtaken:
            continue
        return
    run.computed = None  # others never stop storing: now they wait
    _store_success(run, result)


def _sign_of_life(run: TrainingRun) -> Callable[[], None]:
    """Return what gives a sign of life for a run, when it is called and the last one is some seconds old."""
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last > settings.TRAINING_HEARTBEAT_SECONDS:
            last = time.monotonic()
            if not _ours(run).update(heartbeat_at=clock.now()):
                raise InvalidTransition(f"run {run.pk} is no longer ours")

    return beat


@transaction.atomic
def _store_success(run: TrainingRun, result: Row) -> None:
    now = clock.now()
    if not _ours(run).update(status=RunStatus.SUCCEEDED, result=result, finished_at=now):
        raise InvalidTransition(f"run {run.pk} is no longer ours")
    run.result = result
    product_of(run.spec).settle(run)
    settle_round(round=run.round, last=run)


def settle_round(*, round: TrainingRound, last: TrainingRun) -> None:
    """End the round, or stop it at a gate, after `last` has succeeded. Called inside a transaction."""
    running = TrainingRound.objects.filter(pk=round.pk, status=RoundStatus.RUNNING)
    if not round.runs.exclude(status=RunStatus.SUCCEEDED).exists():
        if running.update(status=RoundStatus.SUCCEEDED, finished_at=clock.now()):
            tell_finished(round)
        return
    why = last.closed_gate
    if why and running.update(status=RoundStatus.STOPPED, reason=f"{last.spec.label}: {why}"[:500]):
        _tell_admins(round)


def tell_finished(round: TrainingRound) -> None:
    """Record the mail and the webhook event of a round that ended. Called inside the transaction that ends it."""
    _tell_admins(round)
    data = {"number": round.number, "status": round.status, "reason": round.reason}
    webhooks.record_event(project=round.project, event=Event.ROUND, data=data)


def _tell_admins(round: TrainingRound) -> None:
    round.refresh_from_db(fields=["status", "reason"])
    mail.write(project=round.project, text=lambda: (subject_of(round), body_of(round)))
    admins = round.project.memberships.filter(role=Role.ADMIN, user__is_active=True).values_list("user_id", flat=True)
    notifications.tell(
        admins,
        project=round.project,
        kind=NotificationKind.ROUND,
        url=round.get_absolute_url(),
        number=round.number,
        status=round.status,
    )
