"""How strong candidates or policy versions are: Bradley–Terry with ties, fitted to comparisons.

The model is Davidson's (1970): with strengths a and b on the log scale, the odds of a win, a loss and a tie are
e^a : e^b : ν e^((a+b)/2). Strengths are the maximum of its likelihood times a prior, by Newton's method; the logarithm
of the likelihood is concave, so there is one maximum.

The prior: everything has also won `prior` and lost `prior` comparisons against an average opponent (strength 0), and
for ν there are as many ties again as wins. It keeps what always wins, and what was never compared with the rest,
finite: with no comparisons at all every strength is 0. Without a prior (0) such data have no estimate, which is said.

A ranking of K is taken as its K(K-1)/2 comparisons, which depend on each other. `jackknifed` therefore takes its
intervals from leaving out whole groups of tasks in turn; those of `fit` are from the curvature at the maximum, as if
comparisons were independent: all that can be had from a single ranking.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from annotation.judged.preferences import Vote
from annotation.stats.quantiles import Z95

LEAST_GROUPS = 10
Matrix = list[list[float]]


@dataclass
class WinRecord:
    """How comparisons of two things ended: the weights of wins of the first, of wins of the second, and of ties."""

    wins: float = 0.0
    losses: float = 0.0
    ties: float = 0.0


WinRecords = dict[tuple[str, str], WinRecord]


@dataclass(frozen=True)
class Strength:
    """On the log scale, 0 is the average; `low` and `high` are the ends of the 95 % interval."""

    value: float
    low: float
    high: float


class NoEstimate(ValueError):
    """Raised where the data have no finite estimate without a prior; the message gives the reason."""


def count(records: WinRecords, vote: Vote, name_of: Mapping[int, str]) -> None:
    """Add every comparison of one ranking; candidates of the same name are not compared."""
    places = [(pk, name_of[pk], level) for level, tier in enumerate(vote.tiers) for pk in tier if pk in name_of]
    for position, (pk, name, level) in enumerate(places):
        for another, other, lower in places[position + 1 :]:
            if name == other or vote.says_nothing_of(pk, another):
                continue
            first, second = min(name, other), max(name, other)
            record = records.setdefault((first, second), WinRecord())
            if level == lower:
                record.ties += vote.weight
            elif name == first:
                record.wins += vote.weight
            else:
                record.losses += vote.weight


def fit(records: WinRecords, prior: float = 0.5) -> dict[str, Strength]:
    """Return the strengths by name, with intervals from the curvature at the maximum."""
    names, values = _maximum(records, prior)
    if not names:
        return {}
    _, hessian = _slope_and_curvature(records, names, values, prior)
    variances = np.linalg.inv(hessian).diagonal()[: len(names)]
    errors = np.sqrt(np.maximum(variances, 0.0)).tolist()
    return {name: _strength(value, error) for name, value, error in zip(names, values, errors, strict=False)}


def jackknifed(groups: Sequence[WinRecords], prior: float = 0.5) -> dict[str, Strength]:
    """Return the strengths from all groups; with LEAST_GROUPS or more, the intervals are those of the jackknife."""
    groups = [group for group in groups if group]
    whole = fit(_sum(groups), prior)
    if len(groups) < LEAST_GROUPS:  # a few groups that agree by chance would look certain
        return whole
    left_out = [fit(_sum([*groups[:place], *groups[place + 1 :]]), prior) for place in range(len(groups))]
    found = {}
    for name, strength in whole.items():
        without = [fitted[name].value if name in fitted else 0.0 for fitted in left_out]
        mean = math.fsum(without) / len(without)
        spread = math.fsum((value - mean) ** 2 for value in without) * (len(without) - 1) / len(without)
        found[name] = _strength(strength.value, math.sqrt(spread))
    return found


def _strength(value: float, error: float) -> Strength:
    return Strength(round(value, 4), round(value - Z95 * error, 4), round(value + Z95 * error, 4))


def _sum(groups: Sequence[WinRecords]) -> WinRecords:
    total: WinRecords = {}
    for group in groups:
        for pair, record in group.items():
            into = total.setdefault(pair, WinRecord())
            into.wins += record.wins
            into.losses += record.losses
            into.ties += record.ties
    return total


def _maximum(records: WinRecords, prior: float) -> tuple[list[str], list[float]]:
    """Return the names, and their strengths with the logarithm of ν last (absent where there are no ties)."""
    names = sorted({name for pair in records for name in pair})
    if not names:
        return [], []
    if not prior:
        _refuse_what_has_no_maximum(records, names)
    values = [0.0] * (len(names) + _has_ties(records))
    height = _log_likelihood(records, names, values, prior)
    for _ in range(100):
        slope, curvature = _slope_and_curvature(records, names, values, prior)
        if max(abs(part) for part in slope) < 1e-9:
            break
        step = np.linalg.solve(curvature, slope).tolist()
        size = 1.0
        while size > 1e-6:
            tried = [value + size * part for value, part in zip(values, step, strict=True)]
            reached = _log_likelihood(records, names, tried, prior)
            if reached >= height - 1e-12:
                break
            size /= 2
        values, height = tried, reached
    middle = math.fsum(values[: len(names)]) / len(names)
    return names, [value - middle for value in values[: len(names)]] + values[len(names) :]


def _has_ties(records: WinRecords) -> int:
    return int(any(record.ties for record in records.values()))


def _refuse_what_has_no_maximum(records: WinRecords, names: list[str]) -> None:
    """Raise NoEstimate unless the comparison graph is strongly connected by wins and ties (Ford 1957)."""
    for forwards in (True, False):
        leads: dict[str, set[str]] = {name: set() for name in names}
        for (first, second), record in records.items():
            if record.wins or record.ties:
                leads[first if forwards else second].add(second if forwards else first)
            if record.losses or record.ties:
                leads[second if forwards else first].add(first if forwards else second)
        seen, waiting = {names[0]}, [names[0]]
        while waiting:
            new = leads[waiting.pop()] - seen
            seen |= new
            waiting.extend(new)
        if len(seen) < len(names):
            apart = ", ".join(sorted(set(names) - seen)[:5])
            raise NoEstimate(f"Without a prior there is no estimate: {apart} always won, always lost or stood apart.")


def _chances(first: float, second: float, log_nu: float | None) -> tuple[float, float, float]:
    """Return the probabilities of a win of the first, a win of the second, and a tie."""
    tie = -math.inf if log_nu is None else log_nu + (first + second) / 2
    top = max(first, second, tie)
    odds = [math.exp(first - top), math.exp(second - top), math.exp(tie - top)]
    total = sum(odds)
    return odds[0] / total, odds[1] / total, odds[2] / total


def _log_likelihood(records: WinRecords, names: list[str], values: list[float], prior: float) -> float:
    """Return the logarithm of the likelihood times the prior."""
    place = {name: number for number, name in enumerate(names)}
    log_nu = values[len(names)] if len(values) > len(names) else None
    height = 0.0
    for (first, second), record in records.items():
        chances = _chances(values[place[first]], values[place[second]], log_nu)
        for seen, chance in zip((record.wins, record.losses, record.ties), chances, strict=True):
            height += seen * math.log(max(chance, 1e-300)) if seen else 0.0
    for value in values[: len(names)]:
        height += prior * sum(math.log(chance) for chance in _chances(value, 0.0, None)[:2])
    if log_nu is not None:
        height -= 0.5 * prior * log_nu**2
    return height


def _slope_and_curvature(
    records: WinRecords, names: list[str], values: list[float], prior: float
) -> tuple[list[float], Matrix]:
    """Return the gradient, and the negative Hessian; without a prior, a constant in it fixes the zero of the scale."""
    size = len(values)
    place = {name: number for number, name in enumerate(names)}
    log_nu = values[len(names)] if size > len(names) else None
    slope = [0.0] * size
    curvature = [[0.0] * size for _ in range(size)]
    for (first, second), record in records.items():
        one, two = place[first], place[second]
        chances = _chances(values[one], values[two], log_nu)
        # How each outcome's log-odds change with the strengths of the two, and with log ν.
        directions: list[dict[int, float]] = [{one: 1.0}, {two: 1.0}, {one: 0.5, two: 0.5}]
        if log_nu is not None:
            directions[2][size - 1] = 1.0
        mean: dict[int, float] = defaultdict(float)
        for chance, direction in zip(chances, directions, strict=True):
            for at, part in direction.items():
                mean[at] += chance * part
        total = record.wins + record.losses + record.ties
        for seen, chance, direction in zip((record.wins, record.losses, record.ties), chances, directions, strict=True):
            away = {at: direction.get(at, 0.0) - mean[at] for at in mean}
            for at, part in away.items():
                slope[at] += seen * part
                for other, more in away.items():
                    curvature[at][other] += total * chance * part * more
    for number in range(len(names)):
        win, loss, _ = _chances(values[number], 0.0, None)
        slope[number] += prior * (loss - win)
        curvature[number][number] += 2 * prior * win * loss
        if not prior:
            for other in range(len(names)):
                curvature[number][other] += 1.0 / len(names)
    if log_nu is not None:
        slope[-1] -= prior * log_nu
        curvature[-1][-1] += prior
    return slope, curvature
