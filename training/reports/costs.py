"""What each round cost: people's minutes, machine time, tokens and disk; and what that is per point of win rate."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import F, Max, Q, Sum

from annotation.models import Assignment, Completion, Project
from annotation.quality.comparisons import evaluated_pairs, win_rate
from annotation.quality.figures import Figure
from training.archives import size_on_disk
from training.models import TrainingRound, TrainingRun
from training.reports.labelling_time import effort_of


@dataclass(frozen=True)
class RoundCost:
    """One round, and what people gave between the data of the training round before it and its own.

    `win_rate` is that of the version it made, against the one that it began with.
    """

    round: TrainingRound
    methods: str
    judgments: int
    annotator_minutes: float
    machine_seconds: float
    processor_seconds: float
    gpu_seconds: float
    tokens: int
    disk_bytes: int
    policy: str = ""
    win_rate: Figure | None = None
    stages: list[tuple[str, float]] = field(default_factory=list)  # what each run took, in seconds

    @property
    def points(self) -> float | None:
        """Return the percentage points of win rate above one half."""
        if self.win_rate is None or self.win_rate.value is None:
            return None
        return 100 * (self.win_rate.value - 0.5)

    def money(self, per_hour: float, per_machine_hour: float) -> float:
        return self.annotator_minutes / 60 * per_hour + self.machine_seconds / 3600 * per_machine_hour


def per_point(cost: float, points: float | None) -> float | None:
    """Return the cost of a percentage point; None where nothing was gained."""
    return cost / points if points is not None and points > 0 else None


def round_costs(project: Project, *, to: User | None) -> list[RoundCost]:
    """Return what each round of a project cost, newest first; `to` as for evaluated_pairs."""
    rows: list[RoundCost] = []
    since: datetime | None = None
    proofs = _proofs(project, to)
    for round in project.rounds.order_by("number").prefetch_related("runs__policy"):
        runs = list(round.runs.all())
        cutoff = round.runs.aggregate(last=Max("snapshot__cutoff"))["last"]
        judgments, minutes = _given(project, since, cutoff) if cutoff else (0, 0.0)
        since = cutoff or since
        made = next((run.policy for run in reversed(runs) if run.policy), None)
        origins = [f"run-{run.pk}" for run in runs]
        tokens = Completion.objects.filter(prompt__project=project, origin__in=origins).aggregate(n=Sum("tokens"))["n"]
        rows.append(
            RoundCost(
                round=round,
                methods=" → ".join(run.label for run in runs),
                judgments=judgments,
                annotator_minutes=minutes,
                machine_seconds=sum(map(_seconds, runs)),
                processor_seconds=sum(run.result.get("processor_seconds", 0.0) for run in runs),
                gpu_seconds=sum(run.result.get("gpu_seconds", 0.0) for run in runs),
                stages=[(run.label, _seconds(run)) for run in runs],
                tokens=tokens or 0,
                disk_bytes=sum(size_on_disk(run.directory.path) or 0 for run in runs),
                policy=str(made or ""),
                win_rate=proofs.get(made.pk) if made else None,
            )
        )
    return rows[::-1]


def _seconds(run: TrainingRun) -> float:
    return (run.finished_at - run.started_at).total_seconds() if run.started_at and run.finished_at else 0.0


def _given(project: Project, since: datetime | None, until: datetime) -> tuple[int, float]:
    """Return the judgments finished in a time and the minutes of labelling that they took."""
    when = Q(finished_at__lte=until) & (Q(finished_at__gt=since) if since else Q())
    return effort_of(Assignment.objects.judged().filter(when, project=project))


def _proofs(project: Project, to: User | None) -> dict[int, Figure]:
    """Return by version its newest judged evaluation against an older version."""
    found: dict[int, Figure] = {}
    evaluations = project.evaluations.filter(opponent__number__lt=F("version__number")).order_by("number")
    for evaluation in evaluations:
        rate = win_rate(evaluated_pairs(project, evaluation, to=to))
        if rate.value is not None:
            found[evaluation.version_id] = rate
    return found


COLUMNS = (
    "round",
    "methods",
    "judgments",
    "annotator_minutes",
    "machine_seconds",
    "processor_seconds",
    "gpu_seconds",
    "tokens",
    "disk_bytes",
    "policy",
    "win_rate",
    "annotator_minutes_per_point",
)


def as_csv(rows: Sequence[RoundCost]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in rows:
        rate = row.win_rate.value if row.win_rate else None
        writer.writerow(
            [
                row.round.number,
                row.methods,
                row.judgments,
                round(row.annotator_minutes, 2),
                round(row.machine_seconds, 1),
                round(row.processor_seconds, 1),
                round(row.gpu_seconds, 1),
                row.tokens,
                row.disk_bytes,
                row.policy,
                "" if rate is None else round(rate, 4),
                _rounded(per_point(row.annotator_minutes, row.points)),
            ]
        )
    return out.getvalue()


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 2)
