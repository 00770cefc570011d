"""Rounds side by side: the settings in which they differ, and their figures beside those of a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from django.utils.translation import gettext, gettext_noop

from training.methods import METHODS
from training.methods.labels import setting_label
from training.models import TrainingRound, TrainingRun
from training.products import is_chance

# Figures of a run's result, in this order: how they are called, how written, and whether more of them is better.
FIGURES: dict[str, tuple[str, str, bool | None]] = {
    "accuracy": (gettext_noop("Held-out accuracy"), ".1%", True),
    "score_before": (gettext_noop("Score before"), ".2f", None),
    "score_after": (gettext_noop("Score after"), ".2f", True),
    "judge_after": (gettext_noop("Held-out judge after"), ".2f", True),
    "kl": (gettext_noop("KL to the reference, nats per response"), ".2f", None),
    "finished_share": (gettext_noop("Finished (EOS)"), ".1%", None),
    "mean_tokens": (gettext_noop("Mean length, tokens"), ".1f", None),
    "seconds": (gettext_noop("Time, s"), ",.0f", None),
    "peak_rss_mb": (gettext_noop("Peak memory, MB"), ",.0f", None),
}
MOST_ROUNDS = 5  # side by side, as many as there are colours of lines


@dataclass(frozen=True)
class Cell:
    """A value of one round. `change` is to the baseline; `is_better` is None where neither way is."""

    text: str
    change: str = ""
    is_better: bool | None = None
    differs: bool = False
    is_chance: bool = False


@dataclass(frozen=True)
class Line:
    label: str
    cells: list[Cell]


@dataclass(frozen=True)
class MethodComparison:
    """The stages of one method: settings that differ, and figures."""

    label: str
    settings: list[Line]
    figures: list[Line]


def compare(rounds: Sequence[TrainingRound], baseline: TrainingRound) -> list[MethodComparison]:
    """Return method by method what differs between rounds, whose runs are prefetched; `baseline` is one of them."""
    runs = {round.pk: {run.method: run for run in round.runs.all()} for round in rounds}
    methods = list(dict.fromkeys(method for of_round in runs.values() for method in of_round))
    parts = []
    for method in methods:
        beside = [runs[round.pk].get(method) for round in rounds]
        base = runs[baseline.pk].get(method)
        label = next(run.label for run in beside if run)
        parts.append(MethodComparison(label, _settings(method, beside, base), _figures(beside, base)))
    return parts


def _settings(method: str, beside: Sequence[TrainingRun | None], base: TrainingRun | None) -> list[Line]:
    """Return the settings that do not have the same value in all rounds that ran the method."""
    spec = METHODS.get(method)
    names = [setting.name for setting in fields(spec.config)] if spec else []
    names += [name for run in beside if run for name in run.config if name not in names]
    lines = []
    for name in names:
        values = [run.config.get(name) for run in beside if run]
        if all(value == values[0] for value in values):
            continue
        cells = [
            Cell("–") if run is None else Cell(_text(run.config.get(name)), differs=_differs(name, run, base))
            for run in beside
        ]
        lines.append(Line(gettext(setting_label(spec.config, name)) if spec else name, cells))
    return lines


def _differs(name: str, run: TrainingRun, base: TrainingRun | None) -> bool:
    return base is not None and run.config.get(name) != base.config.get(name)


def _text(value: Any) -> str:
    return (
        "–"
        if value in (None, "")
        else (gettext("yes") if value else gettext("no"))
        if isinstance(value, bool)
        else str(value)
    )


def _figures(beside: Sequence[TrainingRun | None], base: TrainingRun | None) -> list[Line]:
    lines = []
    for name, (label, form, more_is_better) in FIGURES.items():
        values = [_number(run, name) for run in beside]
        if all(value is None for value in values):
            continue
        of_base = _number(base, name)
        cells = [
            _figure(
                value,
                form,
                of_base if run is not base else None,
                more_is_better,
                run is not None and name == "accuracy" and is_chance(run),
            )
            for run, value in zip(beside, values, strict=True)
        ]
        lines.append(Line(gettext(label), cells))
    return lines


def _number(run: TrainingRun | None, name: str) -> float | None:
    value = run.result.get(name) if run else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _figure(value: float | None, form: str, base: float | None, more_is_better: bool | None, chance: bool) -> Cell:
    if value is None:
        return Cell("–")
    text = format(value, form).replace("-", "\N{MINUS SIGN}")
    if base is None or value == base:
        return Cell(text, is_chance=chance)
    sign = "+" if value > base else "\N{MINUS SIGN}"
    change = f"{sign}{format(abs(value - base), form)}"
    is_better = None if more_is_better is None else (value > base) == more_is_better
    return Cell(text, change, is_better, is_chance=chance)
