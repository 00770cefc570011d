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

from django.utils.translation import gettext

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
        label=gettext(APPROACHES[approach].label),
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
        gettext("%(label)s is the most accurate: %(mean)s [%(low)s, %(high)s] on %(texts)s texts.")
        % {
            "label": best.label,
            "mean": f"{best.mean:.1%}",
            "low": f"{best.low:.1%}",
            "high": f"{best.high:.1%}",
            "texts": f"{best.n_test:,}",
        }
    ]
    rivals = [row for row in rows[1:] if row.high >= best.low]
    if rivals:
        names = ", ".join(row.label for row in rivals)
        said.append(
            gettext(
                "Its interval overlaps with %(names)s: the difference may be chance. More seeds or texts would tell."
            )
            % {"names": names}
        )
    cheapest = min([best, *rivals], key=lambda row: (row.labels, row.cpu_seconds))
    if cheapest is not best:
        said.append(
            gettext(
                "Of these %(label)s costs least: %(labels)s labelled texts and %(seconds)s processor seconds; %(best)s "
                "takes %(best_labels)s and %(best_seconds)s."
            )
            % {
                "label": cheapest.label,
                "labels": cheapest.labels,
                "seconds": f"{cheapest.cpu_seconds:,.0f}",
                "best": best.label,
                "best_labels": best.labels,
                "best_seconds": f"{best.cpu_seconds:,.0f}",
            }
        )
    free = [row for row in rows if not row.learns]
    if free and best.learns:
        without = max(free, key=lambda row: row.mean)
        gain = best.mean - without.mean
        said.append(
            gettext("Without labels %(label)s reaches %(mean)s; %(labels)s labels bring %(gain)s.")
            % {
                "label": without.label,
                "mean": f"{without.mean:.1%}",
                "labels": best.labels,
                "gain": f"{gain:+.1%}",
            }
        )
    small = [row for row in [best, *rivals] if row.learns and row.artefact_bytes < best.artefact_bytes / 10]
    if small:
        least = min(small, key=lambda row: row.artefact_bytes)
        said.append(
            gettext("%(label)s takes %(size)s MB instead of %(best_size)s: use it where many tasks share one model.")
            % {
                "label": least.label,
                "size": f"{least.artefact_bytes / 1e6:,.1f}",
                "best_size": f"{best.artefact_bytes / 1e6:,.1f}",
            }
        )
    return said
