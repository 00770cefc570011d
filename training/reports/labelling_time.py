"""What each round that made a policy cost and came to, for the table of methods: from its runs and its snapshots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from django.db.models import Case, Count, QuerySet, Sum, Value, When

from annotation.models import Assignment, Project, Ranking, ReferenceAnswer, UnaryJudgment
from annotation.models.task import JUDGED
from training.models import TrainingRun
from training.products import methods_where


@dataclass(frozen=True)
class PolicyRow:
    """A run that made a policy. Scores are a reward model's, or None where none scored it."""

    round: int
    label: str
    policy: str
    judgments: int  # rankings, unary judgments and reference answers given until its data were frozen
    annotator_minutes: float
    seconds: float  # with the reward model of its round
    peak_rss_mb: float
    score_before: float | None
    score_after: float | None
    kl: float | None


def policy_rows(project: Project) -> list[PolicyRow]:
    """Return the labelling time by policy version, newest first."""
    made = TrainingRun.objects.succeeded().filter(round__project=project, policy__isnull=False)
    made = made.select_related("round", "policy").order_by("-round__number", "-position")
    in_rounds = TrainingRun.objects.succeeded().filter(round__in=made.values("round")).select_related("snapshot")
    runs: dict[int, list[TrainingRun]] = defaultdict(list)
    for run in in_rounds.order_by("position"):
        runs[run.round_id].append(run)
    before = {run.pk: [other for other in runs[run.round_id] if other.position <= run.position] for run in made}
    cutoffs = {run.pk: _cutoff(run, before[run.pk]) for run in made}
    said = said_until(project, cutoffs.values())
    return [_row(run, before[run.pk], *said[cutoffs[run.pk]]) for run in made]


def _cutoff(run: TrainingRun, before: Sequence[TrainingRun]) -> datetime:
    """Return when the data of a round's runs were frozen; of one without any, when the round began."""
    return max((other.snapshot.cutoff for other in before if other.snapshot), default=run.round.created_at)


def _row(run: TrainingRun, before: Sequence[TrainingRun], judgments: int, minutes: float) -> PolicyRow:
    return PolicyRow(
        round=run.round.number,
        label=run.label,
        policy=str(run.policy),
        judgments=judgments,
        annotator_minutes=minutes,
        seconds=_total(before, "seconds"),
        peak_rss_mb=max((other.result.get("peak_rss_mb") or 0.0 for other in before), default=0.0),
        score_before=run.result.get("score_before"),
        score_after=run.result.get("score_after"),
        kl=run.result.get("kl"),
    )


def _total(runs: Sequence[TrainingRun], name: str) -> float:
    training = methods_where(lambda product: product.is_training)
    return sum(run.result.get(name) or 0.0 for run in runs if run.method in training)


def said_until(project: Project, times: Iterable[datetime]) -> dict[datetime, tuple[int, float]]:
    """Return by time the rankings, unary judgments and reference answers given until then, and the minutes they took.

    The database reads each of them once, however many times there are.
    """
    ordered = sorted(set(times))
    if not ordered:
        return {}
    first_after = Case(*[When(created_at__lte=time, then=Value(place)) for place, time in enumerate(ordered)])
    count, milliseconds = [0] * len(ordered), [0] * len(ordered)
    for model in (Ranking, UnaryJudgment, ReferenceAnswer):
        given = model._default_manager.filter(assignment__project=project, assignment__status__in=JUDGED)
        placed = given.filter(created_at__lte=ordered[-1]).annotate(place=first_after).order_by().values("place")
        for row in placed.annotate(n=Count("pk"), milliseconds=Sum("assignment__active_ms")):
            count[row["place"]] += row["n"]
            milliseconds[row["place"]] += row["milliseconds"]
    sums = zip(accumulate(count), accumulate(milliseconds), strict=True)
    return {time: (n, spent / 60_000) for time, (n, spent) in zip(ordered, sums, strict=True)}


def effort_of(assignments: QuerySet[Assignment]) -> tuple[int, float]:
    """Return the number of assignments and the minutes that pages were in use for them."""
    found = assignments.aggregate(n=Count("pk"), milliseconds=Sum("active_ms"))
    return found["n"], (found["milliseconds"] or 0) / 60_000
