"""A person's own part of a project: what they have done lately, at which pace, and what waits for a reviewer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from django.contrib.auth.models import User
from django.utils import timezone

from annotation.models import Assignment, Flag, FlagStatus, Membership, Project, Role

DAYS = 14
BAR_WIDTH, BAR_HEIGHT = 10, 32  # of the picture, whose units these are


@dataclass(frozen=True)
class Bar:
    """One day (UTC). `height` is in units of the picture; a day with a judgment is never invisible."""

    day: str
    count: int
    x: int
    height: float

    @property
    def y(self) -> float:
        return BAR_HEIGHT - self.height


@dataclass(frozen=True)
class MyWork:
    """`seconds` is the median of active time over the latest judgments; None where none was timed."""

    today: int
    lately: int
    seconds: float | None
    bars: list[Bar]
    flags: int = 0  # that wait for a decision, for reviewers


def my_work(project: Project, membership: Membership, user: User) -> MyWork:
    """Return what a person has done lately in a project, at which pace, and what waits for a reviewer."""
    now = timezone.now()
    first = (now - timedelta(days=DAYS - 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    done = list(
        Assignment.objects.judged()
        .filter(project=project, annotator_id=user.pk, finished_at__gte=first)
        .values_list("finished_at", "active_ms")
    )
    days = Counter(at.date() for at, _ in done if at)
    timed = [active / 1000 for _, active in done if active]
    flags = 0
    if membership.may_act_as(Role.REVIEWER):
        flags = Flag.objects.filter(project=project, status=FlagStatus.OPEN).count()
    return MyWork(days[now.date()], len(done), median(timed) if timed else None, _bars(days, first), flags)


def _bars(days: Counter, first: datetime) -> list[Bar]:  # type: ignore[type-arg]
    most = max(days.values(), default=0)
    bars = []
    for number in range(DAYS):
        day = (first + timedelta(days=number)).date()
        count = days[day]
        height = max(2.0, round(BAR_HEIGHT * count / most, 1)) if count else 0.0
        bars.append(Bar(f"{day:%Y-%m-%d}", count, number * BAR_WIDTH, height))
    return bars
