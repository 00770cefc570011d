"""Agreement of two raters on pairs of responses: 3×3 tables of choices, and intervals that resample clusters of them.

A choice is 1 (the first of the pair is better), 0 (a tie) or -1. A table counts pairs by the choice of one rater (row)
and of the other (column); row and column 0 stand for -1. Which response of a pair is the first means nothing, so every
figure is that of the table and of its mirror image together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annotation.stats.bootstrap import MOST_CLUSTERS, RESAMPLES

Floats = NDArray[np.float64]
AT_ONCE = 200  # resamples whose weights are in memory together


def table_of(pairs: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return the table of an array of (choice of one rater, choice of the other)."""
    chosen = np.asarray(pairs, dtype=np.int64).reshape(-1, 2) + 1
    counted = np.ones(len(chosen)) if weights is None else np.asarray(weights, dtype=np.float64)
    table = np.zeros((3, 3))
    np.add.at(table, (chosen[:, 0], chosen[:, 1]), counted)
    return table


def agreement(tables: ArrayLike) -> Floats:
    """Return the share of pairs on which both chose the same, for an array of tables; nan for an empty one."""
    given = np.asarray(tables, dtype=np.float64)
    return _over(np.trace(given, axis1=-2, axis2=-1), given.sum(axis=(-2, -1)))


def kappa(tables: ArrayLike) -> Floats:
    """Return Cohen's κ (1960) of each table with its mirror image; nan where chance alone gives full agreement."""
    given = np.asarray(tables, dtype=np.float64)
    both = given + given[..., ::-1, ::-1]
    total = both.sum(axis=(-2, -1))
    chance = _over((both.sum(axis=-1) * both.sum(axis=-2)).sum(axis=-1), total**2)
    return _over(_over(np.trace(both, axis1=-2, axis2=-1), total) - chance, 1 - chance)


def tau_b(tables: ArrayLike) -> Floats:
    """Return Kendall's τ-b (1945) over all pairs of each table: concordant less discordant, over what ties leave."""
    given = np.asarray(tables, dtype=np.float64)
    concordant = given[..., 0, 0] + given[..., 2, 2]
    discordant = given[..., 0, 2] + given[..., 2, 0]
    strict_rows = given[..., 0, :].sum(axis=-1) + given[..., 2, :].sum(axis=-1)
    strict_columns = given[..., :, 0].sum(axis=-1) + given[..., :, 2].sum(axis=-1)
    return _over(concordant - discordant, np.sqrt(strict_rows * strict_columns))


def resampled(clusters: ArrayLike, seed: int = 0) -> Floats:
    """Return sums over RESAMPLES resamples of whole clusters, drawn with replacement.

    `clusters` has any shape behind its first axis; the result has RESAMPLES in place of the number of clusters.
    """
    given = np.asarray(clusters, dtype=np.float64)
    shape = given.shape[1:]
    flat = given.reshape(len(given), -1)
    random = np.random.default_rng(seed)
    if len(flat) > MOST_CLUSTERS:
        random.shuffle(flat := flat.copy())
        flat = np.array([block.sum(axis=0) for block in np.array_split(flat, MOST_CLUSTERS)])
    count = len(flat)
    sums = []
    for done in range(0, RESAMPLES, AT_ONCE):
        rows = min(AT_ONCE, RESAMPLES - done)
        drawn = random.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        sums.append(times @ flat)
    return np.concatenate(sums).reshape(RESAMPLES, *shape)


def interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float] | None:
    """Return the central interval of the values that are defined; None where fewer than half of them are."""
    given = np.asarray(values, dtype=np.float64)
    kept = given[np.isfinite(given)]
    if len(kept) < len(given) / 2 or not len(kept):
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(kept, [tail, 1 - tail])
    return float(low), float(high)


def _over(part: Floats, whole: Floats) -> Floats:
    """Return part / whole; nan where the whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.abs(whole) > 1e-12, part / whole, np.nan)
