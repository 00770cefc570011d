"""What each round that made a policy cost and came to, for the table of methods: from its runs and its snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from annotation.models import Assignment, Project
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
    made = made.select_related("round", "snapshot", "policy")
    return [_row(run) for run in made.order_by("-round__number", "-position")]


def _row(run: TrainingRun) -> PolicyRow:
    before = list(run.round.runs.succeeded().filter(position__lte=run.position))
    data = [other.snapshot for other in before if other.snapshot]
    cutoff = max((snapshot.cutoff for snapshot in data), default=run.round.created_at)
    judgments, minutes = _said_until(run.round.project, cutoff)
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


def _said_until(project: Project, cutoff: Any) -> tuple[int, float]:
    """Return the rankings, unary judgments and reference answers given until then, and the minutes they took."""
    kinds = ("ranking", "unaryjudgment", "referenceanswer")
    given = reduce(or_, (Q(**{f"{kind}__created_at__lte": cutoff}) for kind in kinds))
    return effort_of(Assignment.objects.judged().filter(given, project=project))


def effort_of(assignments: QuerySet[Assignment]) -> tuple[int, float]:
    """Return the number of assignments and the minutes that pages were in use for them."""
    found = assignments.aggregate(n=Count("pk"), milliseconds=Sum("active_ms"))
    return found["n"], (found["milliseconds"] or 0) / 60_000
