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
from django.utils.translation import gettext_noop

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
    queue = gettext_noop("%(hours)s hours of work are in the queue (limit %(limit)s)") % {
        "hours": f"{facts.queue_hours:.1f}",
        "limit": f"{pilot.max_queue_hours:g}",
    }
    cause = _cause(pilot, facts)
    if not cause:
        if pilot.owes_sampling and not full:
            why = gettext_noop("The queue is below its limit (%(queue)s): new responses are sampled.") % {
                "queue": queue
            }
            return Decision(tuple(_that_fill_the_queue(pilot.methods)), why)
        return Decision((), _waits_for(pilot, facts))
    if not full:
        return Decision(pilot.methods, cause)
    filling = _that_fill_the_queue(pilot.methods)
    without = tuple(method for method in pilot.methods if method not in filling)
    if not without:
        return Decision((), gettext_noop("%(queue)s: nothing is sampled.") % {"queue": queue})
    both = {"cause": cause, "queue": queue}
    return Decision(without, gettext_noop("%(cause)s %(queue)s: this round trains without sampling.") % both)


def _that_fill_the_queue(methods: Sequence[str]) -> list[str]:
    filling = methods_where(lambda product: product.fills_queue)
    return [method for method in methods if method in filling]


def _cause(pilot: Autopilot, facts: Facts) -> str:
    if pilot.every_judgments and facts.new_judgments >= pilot.every_judgments:
        said = gettext_noop("%(count)s new annotations since the last training round.")
        return said % {"count": facts.new_judgments}
    due = facts.days is None or facts.days >= pilot.every_days
    if pilot.every_days and due and facts.new_judgments:
        if facts.days is None:
            return gettext_noop("No training round yet, and %(count)s new annotations.") % {
                "count": facts.new_judgments
            }
        said = gettext_noop("The last one was %(days)s days ago, and %(count)s new annotations.")
        return said % {"days": f"{facts.days:.1f}", "count": facts.new_judgments}
    return ""


def _waits_for(pilot: Autopilot, facts: Facts) -> str:
    more = pilot.every_judgments - facts.new_judgments
    left = 0 if facts.days is None else max(0, pilot.every_days - facts.days)
    values = {"count": more, "days": f"{left:.1f}"}
    if not pilot.every_days:
        return gettext_noop("Waits for %(count)s more annotations.") % values
    if pilot.every_judgments and left:
        return gettext_noop("Waits for %(count)s more annotations or %(days)s more days.") % values
    if pilot.every_judgments:
        return gettext_noop("Waits for %(count)s more annotations or for a new annotation.") % values
    return gettext_noop("Waits %(days)s more days.") % values if left else gettext_noop("Waits for a new annotation.")


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
            said = gettext_noop("Started round %(number)s: %(why)s") % {"number": round.number, "why": decision.why}
            owes = bool(_that_fill_the_queue(pilot.methods)) and not _that_fill_the_queue(decision.methods)
            Autopilot.objects.filter(pk=pilot.pk).update(owes_sampling=owes)
        except (NotPossible, InvalidConfig) as why:
            said = gettext_noop("A round is due, but cannot start: %(why)s") % {"why": why}
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
        return gettext_noop("Waits: a model problem is reported.")
    latest = project.rounds.newest()
    if latest is None:
        return ""
    if latest.status in ACTIVE:
        return gettext_noop("Waits: round %(number)s runs.") % {"number": latest.number}
    if latest.status in WAITING:
        is_paused = latest.status == RoundStatus.PAUSED
        paused = gettext_noop("Waits: round %(number)s is paused, and a person decides.")
        stopped = gettext_noop("Waits: round %(number)s is stopped at a gate, and a person decides.")
        return (paused if is_paused else stopped) % {"number": latest.number}
    if latest.status == RoundStatus.FAILED and latest.autopilot_reason:
        failed = gettext_noop(
            "Waits: round %(number)s failed. Try it again, or start one yourself, and the autopilot goes on."
        )
        return failed % {"number": latest.number}
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
