"""One way of making a classifier as a row: its quality with an interval, and its costs.

The interval of a mean over k seeds takes in both that other texts could have been drawn to learn from and that other
texts could have been tested on: half its width is the root of t² s² / k + 1.96² p (1 - p) / n, with the standard
deviation s over seeds, Student's t of k - 1 degrees of freedom, and p the mean over n tested texts. With one seed only
the second part is known.

Energy is an estimate: processor seconds times WATTS_PER_CORE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from annotation.stats.quantiles import Z95, student_t95
from training.prompt_tuning.approaches import APPROACHES

WATTS_PER_CORE = 15.0  # a server core at work with its share of memory and losses; measure yours


@dataclass(frozen=True)
class ApproachRow:
    """One approach in one table. What was not measured is None."""

    approach: str
    label: str
    mean: float  # accuracy
    sd: float | None
    low: float
    high: float
    macro_f1: float
    seeds: int
    n_test: int
    labels: int  # labelled texts that were learned from or chosen by
    train_seconds: float
    cpu_seconds: float
    peak_rss_mb: float
    trainable_parameters: int
    artefact_bytes: int
    ms_per_text: float | None  # at use
    templates: tuple[str, ...] = ()
    annotator_minutes: float | None = None  # at the pace at which people have labelled in this project

    @property
    def watt_hours(self) -> float:
        return self.cpu_seconds * WATTS_PER_CORE / 3600

    @property
    def learns(self) -> bool:
        return self.labels > 0


def interval(accuracies: Sequence[float], n_test: int) -> tuple[float, float]:
    """Return the 95 % interval of the mean accuracy over seeds."""
    mean, k = fmean(accuracies), len(accuracies)
    half = Z95**2 * mean * (1 - mean) / n_test
    if k > 1:
        half += student_t95(k - 1) ** 2 * stdev(accuracies) ** 2 / k
    return max(0.0, mean - sqrt(half)), min(1.0, mean + sqrt(half))


def approach_row(approach: str, results: Sequence[Mapping[str, Any]]) -> ApproachRow:
    """Return the row of an approach from the results of its runs, one per seed."""
    accuracies = [result["accuracy"] for result in results]
    n_test = results[0]["n"]
    low, high = interval(accuracies, n_test)
    stages = [result["seconds_by_stage"] for result in results]
    return ApproachRow(
        approach=approach,
        label=APPROACHES[approach].label,
        mean=fmean(accuracies),
        sd=stdev(accuracies) if len(accuracies) > 1 else None,
        low=low,
        high=high,
        macro_f1=fmean(result["macro_f1"] for result in results),
        seeds=len(results),
        n_test=n_test,
        labels=results[0]["shots"],
        train_seconds=fmean(stage.get("train", 0.0) + stage.get("templates", 0.0) for stage in stages),
        cpu_seconds=fmean(result["cpu_seconds"] for result in results) if APPROACHES[approach].learns else 0.0,
        peak_rss_mb=max(result["peak_rss_mb"] for result in results),
        trainable_parameters=results[0]["trainable_parameters"],
        artefact_bytes=max(result["artefact_bytes"] for result in results),
        ms_per_text=_per_text(stages, results, n_test),
        templates=tuple(dict.fromkeys(result["template"] for result in results if result.get("template"))),
    )


def _per_text(stages: Sequence[Mapping[str, float]], results: Sequence[Mapping[str, Any]], n_test: int) -> float | None:
    """Return the seconds to read one text; zero-shot counts all templates, since it uses them all."""
    tested = [stage["test"] for stage in stages if "test" in stage]
    return 1000 * fmean(tested) / n_test if tested and results else None


def recommendation(rows: Sequence[ApproachRow]) -> list[str]:
    """Return sentences that say which approach to use when, derived from the rows alone."""
    if not rows:
        return []
    best = rows[0]
    said = [
        f"{best.label} is the most accurate: {best.mean:.1%} [{best.low:.1%}, {best.high:.1%}] on {best.n_test:,} "
        "texts."
    ]
    rivals = [row for row in rows[1:] if row.high >= best.low]
    if rivals:
        names = ", ".join(row.label for row in rivals)
        said.append(
            f"Its interval overlaps with {names}: the difference may be chance. More seeds or texts would tell."
        )
    cheapest = min([best, *rivals], key=lambda row: (row.labels, row.cpu_seconds))
    if cheapest is not best:
        said.append(
            f"Of these {cheapest.label} costs least: {cheapest.labels} labelled texts and {cheapest.cpu_seconds:,.0f} "
            f"processor seconds, where {best.label} takes {best.labels} and {best.cpu_seconds:,.0f}."
        )
    free = [row for row in rows if not row.learns]
    if free and best.learns:
        without = max(free, key=lambda row: row.mean)
        gain = best.mean - without.mean
        said.append(
            f"Without any label {without.label} reaches {without.mean:.1%}; {best.labels} labels bring {gain:+.1%}."
        )
    small = [row for row in [best, *rivals] if row.learns and row.artefact_bytes < best.artefact_bytes / 10]
    if small:
        least = min(small, key=lambda row: row.artefact_bytes)
        said.append(
            f"{least.label} is kept in {least.artefact_bytes / 1e6:,.1f} MB instead of "
            f"{best.artefact_bytes / 1e6:,.1f}: take it where many tasks share one model."
        )
    return said
