"""What a round's page draws, and the API gives: metric rows as curves, and the findings of finished runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Avg, Count, F, Max, Min, QuerySet

from training.models import Metric, TrainingRound, TrainingRun
from training.products.reward_model import trained_reward_models

Curve = dict[str, list[float]]


POINTS = 600  # of one curve; more than a chart has pixels


def of_round(round: TrainingRound, *, first: int | None = None, last: int | None = None) -> list[dict[str, Any]]:
    """Return each run with its curves by metric name and its findings, between the steps `first` and `last`.

    A curve has steps and values of equal length. One of more than POINTS is thinned by the database: its values are
    means over steps that lie together, with the least and the greatest among them as `low` and `high`.
    """
    metrics = Metric.objects.filter(run__round=round)
    if first is not None:
        metrics = metrics.filter(step__gte=first)
    if last is not None:
        metrics = metrics.filter(step__lte=last)
    curves: dict[int, dict[str, Curve]] = {}
    sizes = metrics.values("run_id", "name").annotate(n=Count("pk"), first=Min("step"), last=Max("step"))
    for size in sizes.order_by("run_id", "name"):
        points = metrics.filter(run=size["run_id"], name=size["name"])
        width = -(-(size["last"] - size["first"] + 1) // POINTS) if size["n"] > POINTS else 1
        curve = _whole(points) if width == 1 else _thinned(points, size["first"], width)
        curves.setdefault(size["run_id"], {})[size["name"]] = curve
    return [
        {
            "id": run.pk,
            "method": run.method,
            "label": run.label,
            "status": run.status,
            "metrics": curves.get(run.pk, {}),
            "findings": findings(run),
        }
        for run in round.runs.select_related("round")
    ]


def _whole(points: QuerySet[Metric]) -> Curve:
    rows = list(points.order_by("step").values_list("step", "value"))
    return {"steps": [step for step, _ in rows], "values": [value for _, value in rows]}


def _thinned(points: QuerySet[Metric], first: int, width: int) -> Curve:
    together = points.annotate(together=(F("step") - first) / width).values("together")
    rows = together.annotate(step=Max("step"), mean=Avg("value"), low=Min("value"), high=Max("value"))
    columns = zip(*rows.order_by("together").values_list("step", "mean", "low", "high"), strict=True)
    return dict(zip(("steps", "values", "low", "high"), map(list, columns), strict=True))


def as_csv(round: TrainingRound) -> Iterator[str]:
    """Yield the metrics of a round as CSV, one logged value a line."""
    yield "run,method,name,step,value\r\n"
    rows = Metric.objects.filter(run__round=round).order_by("run__position", "name", "step")
    for position, method, name, step, value in rows.values_list(
        "run__position", "run__method", "name", "step", "value"
    ).iterator(chunk_size=2000):
        yield f"{position},{method},{name},{step},{value!r}\r\n"


def findings(run: TrainingRun) -> dict[str, Any]:
    """Return the figures of a run's result; what the recipe did not report is left out."""
    result, found = run.result, {}
    points = [point for point in result.get("learning_curve") or [] if point["accuracy"] is not None]
    if points:
        length = (result.get("baselines") or {}).get("length") or {}
        found["learning_curve"] = {
            "points": points,
            "earlier": _earlier_reward_models(run),
            "length_baseline": length.get("accuracy"),
        }
    if calibration := result.get("calibration"):
        found["calibration"] = calibration
    if frontier := [row for row in result.get("frontier") or [] if row["score"] is not None]:
        found["frontier"] = {
            "points": frontier,
            "best_of_n": result.get("best_of_n") or [],
            "selected": (result.get("selected") or {}).get("step"),
        }
    return found


def _earlier_reward_models(run: TrainingRun) -> list[dict[str, Any]]:
    """Return (rankings, accuracy) of the project's earlier reward models, each trained on all its data."""
    earlier = [made for made in trained_reward_models(run.round.project_id) if made.round.number < run.round.number]
    return [
        {"round": made.round.number, **curve[-1]}
        for made in earlier
        if (curve := made.result.get("learning_curve")) and curve[-1]["accuracy"] is not None
    ]
