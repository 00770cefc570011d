"""Metric rows as curves: for the page and the API."""

from __future__ import annotations

from typing import Any

from training.models import Metric, TrainingRound

Curve = dict[str, list[float]]


def of_round(round: TrainingRound) -> list[dict[str, Any]]:
    """Each run with its curves, by metric name: steps and values of equal length."""
    curves: dict[int, dict[str, Curve]] = {}
    rows = Metric.objects.filter(run__round=round).order_by("step").values_list("run_id", "name", "step", "value")
    for run_id, name, step, value in rows:
        curve = curves.setdefault(run_id, {}).setdefault(name, {"steps": [], "values": []})
        curve["steps"].append(step)
        curve["values"].append(value)
    return [
        {"id": run.pk, "method": run.method, "label": run.label, "metrics": curves.get(run.pk, {})}
        for run in round.runs.all()
    ]
