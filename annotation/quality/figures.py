"""A figure that may be unknown, and intervals by resampling whole clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.utils.translation import gettext_noop

from annotation.stats.bootstrap import ratio_interval

FEW_CLUSTERS = 5  # an interval over fewer would only look like one


@dataclass(frozen=True)
class Figure:
    """A measured value; None where it is undefined, with the `reason`. `n` counts what it was measured on."""

    value: float | None
    n: int = 0
    reason: str = ""
    low: float | None = None
    high: float | None = None

    @property
    def ci95(self) -> list[float] | None:
        """Return the interval to show; None where all clusters are alike, such as 0 of 9: it has no width then, as if
        the value were known exactly."""
        if self.low is None or self.high is None or self.low == self.high:
            return None
        return [self.low, self.high]


# What `ratio` says where there is nothing to divide; pages translate it. A report is stored in English.
NOTHING_YET = (
    gettext_noop("no pairs yet"),
    gettext_noop("no rankings yet"),
    gettext_noop("no responses yet"),
    gettext_noop("no ranked pairs of different length yet"),
    gettext_noop("no submitted comparisons yet"),
    gettext_noop("no comparisons by two annotators yet"),
    gettext_noop("no texts with two labels yet"),
    gettext_noop("no responses judged by two annotators yet"),
    gettext_noop("no pairs to compare yet"),
)


def unknown(reason: str, n: int = 0) -> Figure:
    return Figure(None, n=n, reason=reason)


def ratio(parts: Sequence[float], wholes: Sequence[float], *, of: str) -> Figure:
    """Return sum of parts over sum of wholes; each place is one cluster, and the interval resamples clusters.

    Judgments of one task (or of one person) are alike, so drawing them singly would make the interval too narrow.
    """
    total = float(np.sum(wholes))
    if not total:
        return unknown(f"no {of} yet")
    low, high = bootstrap(parts, wholes) or (None, None)
    return Figure(float(np.sum(parts)) / total, n=round(total), low=low, high=high)


def bootstrap(
    parts: Sequence[float], wholes: Sequence[float], *, level: float = 0.95, seed: int = 0
) -> tuple[float, float] | None:
    """Return the percentile interval of sum(parts) / sum(wholes); None with too few clusters to resample."""
    kept = [(part, whole) for part, whole in zip(parts, wholes, strict=True) if whole]
    if len(kept) < FEW_CLUSTERS:
        return None
    return ratio_interval(*zip(*kept, strict=True), level=level, seed=seed)
