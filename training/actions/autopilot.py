"""The loop on autopilot: looks now and then, and starts a round where there is cause and nothing against it.

A worker calls `look`. What is decided, and why, is a pure function of counted facts, and stands on the page of rounds.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from annotation import audit, live
from annotation.actions import alarms
from annotation.errors import NotPossible
from annotation.judged.rows import rankings_that_count, unary_that_count
from annotation.models import Assignment, AuditAction, Project, SeatStatus
from annotation.models.task import JUDGED
from training.actions import rounds
from training.methods import METHODS, InvalidConfig, Method
from training.methods.presets import with_preset
from training.models import ACTIVE, WAITING, Autopilot, RoundStatus, TrainingRound
from training.products import methods_where, product_of

logger = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=20)
JUDGMENTS_TIMED = 200
SECONDS_UNKNOWN = 60.0  # assumed for a judgment before the first one is made


@dataclass(frozen=True)
class Facts:
    """What the autopilot decides by. `days` since the last training round, None where there was none."""

    new_judgments: int
    days: float | None
    queue_hours: float
    held_up: str = ""  # why no round may start now


@dataclass(frozen=True)
class Decision:
    """Methods to run, none for waiting."""

    methods: tuple[str, ...]
    why: str


def decide(pilot: Autopilot, facts: Facts) -> Decision:
    if facts.held_up:
        return Decision((), facts.held_up)
    full = facts.queue_hours > pilot.max_queue_hours
    queue = f"{facts.queue_hours:.1f} hours of work are in the queue (limit {pilot.max_queue_hours:g})"
    cause = _cause(pilot, facts)
    if not cause:
        if pilot.owes_sampling and not full:
            why = f"The queue is below its limit ({queue}): new responses are sampled."
            return Decision(tuple(_that_fill_the_queue(pilot.methods)), why)
        return Decision((), _waits_for(pilot, facts))
    if not full:
        return Decision(pilot.methods, cause)
    filling = _that_fill_the_queue(pilot.methods)
    without = tuple(method for method in pilot.methods if method not in filling)
    if not without:
        return Decision((), f"{queue}: nothing is sampled.")
    return Decision(without, f"{cause} {queue}: this round trains without sampling.")


def _that_fill_the_queue(methods: Sequence[str]) -> list[str]:
    filling = methods_where(lambda product: product.fills_queue)
    return [method for method in methods if method in filling]


def _cause(pilot: Autopilot, facts: Facts) -> str:
    if pilot.every_judgments and facts.new_judgments >= pilot.every_judgments:
        return f"{facts.new_judgments} new annotations since the last training round."
    due = facts.days is None or facts.days >= pilot.every_days
    if pilot.every_days and due and facts.new_judgments:
        ago = "No training round yet" if facts.days is None else f"The last one was {facts.days:.1f} days ago"
        return f"{ago}, and {facts.new_judgments} new annotations."
    return ""


def _waits_for(pilot: Autopilot, facts: Facts) -> str:
    conditions = []
    if pilot.every_judgments:
        conditions.append(f"for {pilot.every_judgments - facts.new_judgments} more annotations")
    if pilot.every_days:
        left = 0 if facts.days is None else max(0, pilot.every_days - facts.days)
        conditions.append(f"{left:.1f} more days" if left else "for a new annotation")
    return f"Waits {' or '.join(conditions)}."


def look(now: datetime | None = None) -> list[TrainingRound]:
    """Let each enabled autopilot decide, at most every LOOK_EVERY; return the rounds that were started."""
    now = now or timezone.now()
    due = Q(looked_at=None) | Q(looked_at__lt=now - LOOK_EVERY)
    started = []
    for pilot in Autopilot.objects.filter(due, enabled=True).select_related("project", "set_by", "like"):
        # Of several workers that look at once, one goes on.
        if Autopilot.objects.filter(due, pk=pilot.pk, enabled=True).update(looked_at=now):
            round = _steer(pilot, now)
            started += [round] if round else []
    return started


def _steer(pilot: Autopilot, now: datetime) -> TrainingRound | None:
    decision = decide(pilot, facts_of(pilot, now))
    round, said = None, decision.why
    if decision.methods:
        try:
            round = rounds.start_round(
                project=pilot.project,
                methods=decision.methods,
                settings=with_preset(pilot.preset, list(decision.methods), _settings_like(pilot)),
                by=pilot.set_by,
                autopilot_reason=decision.why,
            )
            said = f"Started round {round.number}: {decision.why}"
            owes = bool(_that_fill_the_queue(pilot.methods)) and not _that_fill_the_queue(decision.methods)
            Autopilot.objects.filter(pk=pilot.pk).update(owes_sampling=owes)
        except (NotPossible, InvalidConfig) as why:
            said = f"A round is due, but cannot start: {why}"
        logger.info("%s: %s", pilot, said)
    if said != pilot.said:
        Autopilot.objects.filter(pk=pilot.pk).update(said=said[:500])
        live.announce(pilot.project_id, "round")
    return round


def _settings_like(pilot: Autopilot) -> dict[str, dict[str, Any]]:
    """Return the settings of the round that the pilot follows, as far as its methods still have them."""
    if pilot.like is None:
        return {}
    return {
        run.method: {name: value for name, value in run.config.items() if name in _settings_of(run.spec)}
        for run in pilot.like.runs.all()
    }


def _settings_of(method: Method) -> set[str]:
    return {setting.name for setting in fields(method.config)}


def facts_of(pilot: Autopilot, now: datetime) -> Facts:
    latest = _last_round(pilot)[1]
    days = (now - latest).total_seconds() / 86400 if latest else None
    new = sum(each.count() for each in new_judgments(pilot))
    return Facts(new, days, queue_hours(pilot.project), _held_up(pilot.project))


def new_judgments(pilot: Autopilot) -> list[QuerySet[Any]]:
    """Return what people have said since the last training round, one query for each kind of judgment."""
    said: list[QuerySet[Any]] = [rankings_that_count(pilot.project), unary_that_count(pilot.project)]
    since = _last_round(pilot)[0]
    return [each.filter(created_at__gt=since) if since else each for each in said]


def _last_round(pilot: Autopilot) -> tuple[datetime | None, datetime | None]:
    """Return up to when judgments are trained on, and when the last training round was started."""
    project = pilot.project
    beside_the_loop = methods_where(lambda product: not product.in_the_loop)
    trained = project.rounds.filter(runs__snapshot__isnull=False).exclude(runs__method__in=beside_the_loop)
    last = trained.aggregate(at=Max("created_at"), cutoff=Max("runs__snapshot__cutoff"))
    since, latest = last["cutoff"], last["at"]
    if not any(_freezes_judgments(METHODS[method]) for method in pilot.methods if method in METHODS):
        # A plan that freezes nothing: its last round counts by its start, or the same judgments start it for ever.
        own = project.rounds.exclude(autopilot_reason="").aggregate(at=Max("created_at"))["at"]
        since, latest = (max(filter(None, (known, own)), default=None) for known in (since, latest))
    return since, latest


def _freezes_judgments(method: Method) -> bool:
    return product_of(method).data(method).snapshot_type is not None


def _held_up(project: Project) -> str:
    if alarms.open_alarm(project):
        return "Waits: a model problem is reported."
    latest = project.rounds.newest()
    if latest is None:
        return ""
    if latest.status in ACTIVE:
        return f"Waits: round {latest.number} runs."
    if latest.status in WAITING:
        return f"Waits: round {latest.number} is {RoundStatus(latest.status).label.lower()}, and a person decides."
    if latest.status == RoundStatus.FAILED and latest.autopilot_reason:
        return f"Waits: round {latest.number} failed. Try it again, or start one yourself, and the autopilot goes on."
    return ""


def queue_hours(project: Project) -> float:
    """Return the hours that people would need for the queue, at the median pace of the latest judgments."""
    waiting = Assignment.objects.filter(project=project, status__in=[SeatStatus.EMPTY, SeatStatus.HELD]).count()
    judged = Assignment.objects.filter(project=project, status__in=JUDGED, active_ms__gt=0)
    latest = list(judged.order_by("-finished_at").values_list("active_ms", flat=True)[:JUDGMENTS_TIMED])
    seconds = median(latest) / 1000 if latest else SECONDS_UNKNOWN
    return waiting * seconds / 3600


@transaction.atomic
def save(*, pilot: Autopilot, by: User) -> None:
    """Store the autopilot as the form left it; the next look decides anew."""
    pilot.set_by_id, pilot.looked_at, pilot.said = by.pk, None, ""
    pilot.save()
    audit.record(AuditAction.AUTOPILOT, by=by, project=pilot.project, what="on" if pilot.enabled else "off")
    live.announce(pilot.project_id, "round")
