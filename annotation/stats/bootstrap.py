"""Bootstrap intervals (Efron 1979) that resample whole clusters, by the percentile method.

The ends are `numpy.quantile`'s, interpolated linearly between order statistics (definition 7 of Hyndman and Fan 1996).
Observations of one cluster are alike (pairs of a prompt, judgments of a task), so resampling them one by one would give
too narrow an interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2000
MOST_CLUSTERS = (
    300  # more are first added up in this many random blocks: an interval as wide in a hundredth of the time
)

Interval = tuple[float, float]


def percentile_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return the central interval that holds `level` of the values."""
    tail = (1 - level) / 2
    low, high = np.quantile(np.asarray(values, dtype=np.float64), [tail, 1 - tail])
    return float(low), float(high)


def ratio_interval(
    parts: Sequence[float], wholes: Sequence[float], *, level: float = 0.95, seed: int = 0
) -> Interval | None:
    """Return the interval of sum(parts) / sum(wholes), where place i of both is cluster i.

    A share has its hits as parts and its trials as wholes; a mean has sums and counts. Clusters with an empty whole are
    left out; the result is None where no cluster remains.
    """
    pairs = np.array([pair for pair in zip(parts, wholes, strict=True) if pair[1]], dtype=np.float64)
    if not len(pairs):
        return None
    random = np.random.default_rng(seed)
    if len(pairs) > MOST_CLUSTERS:
        random.shuffle(pairs)
        pairs = np.array([block.sum(axis=0) for block in np.array_split(pairs, MOST_CLUSTERS)])
    sums: NDArray[np.float64] = pairs[random.integers(len(pairs), size=(RESAMPLES, len(pairs)))].sum(axis=1)
    return percentile_interval(sums[:, 0] / sums[:, 1], level)


def mean_interval(values: Sequence[float], *, level: float = 0.95, seed: int = 0) -> Interval | None:
    """Return the interval of a mean whose values are independent; None where there are none."""
    return ratio_interval(values, [1.0] * len(values), level=level, seed=seed)


def crossed_interval(table: ArrayLike, *, level: float = 0.95, seed: int = 0) -> Interval:
    """Return the interval of the mean of a full table; rows (seeds) and columns (prompts) are both resampled."""
    values = np.asarray(table, dtype=np.float64)
    rows, columns = values.shape
    random = np.random.default_rng(seed)
    means = [
        values[random.integers(rows, size=rows)][:, random.integers(columns, size=columns)].mean()
        for _ in range(RESAMPLES)
    ]
    return percentile_interval(means, level)


def rounded(interval: Interval | None, digits: int = 4) -> list[float] | None:
    """Return both ends rounded, as reports and JSON hold them."""
    return None if interval is None else [round(end, digits) for end in interval]
