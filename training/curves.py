"""What a round's page draws, and the API gives: metric rows as curves, and the findings of finished runs."""

from __future__ import annotations

from typing import Any

from training.methods import METHODS
from training.models import Metric, RunStatus, TrainingRound, TrainingRun

Curve = dict[str, list[float]]


def of_round(round: TrainingRound) -> list[dict[str, Any]]:
    """Each run with its curves, by metric name: steps and values of equal length; and with its findings."""
    curves: dict[int, dict[str, Curve]] = {}
    rows = Metric.objects.filter(run__round=round).order_by("step").values_list("run_id", "name", "step", "value")
    for run_id, name, step, value in rows:
        curve = curves.setdefault(run_id, {}).setdefault(name, {"steps": [], "values": []})
        curve["steps"].append(step)
        curve["values"].append(value)
    return [
        {
            "id": run.pk,
            "method": run.method,
            "label": run.label,
            "metrics": curves.get(run.pk, {}),
            "findings": findings(run),
        }
        for run in round.runs.select_related("round")
    ]


def findings(run: TrainingRun) -> dict[str, Any]:
    """The parts of a result that are figures. What the recipe did not report, or could not measure, is not there."""
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
    """Accuracy by number of rankings of the project's reward models before this run, each at its full size."""
    made = [name for name, method in METHODS.items() if method.makes == "reward_model"]
    runs = TrainingRun.objects.filter(
        round__project=run.round.project_id, round__number__lt=run.round.number,
        method__in=made, status=RunStatus.SUCCEEDED,
    )  # fmt: skip
    rows = runs.order_by("round__number", "position").values_list("round__number", "result")
    return [
        {"round": number, **curve[-1]}
        for number, result in rows
        if (curve := result.get("learning_curve")) and curve[-1]["accuracy"] is not None
    ]
