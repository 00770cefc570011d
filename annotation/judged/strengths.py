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

from annotation.judged.preferences import Vote

Z95 = 1.959964
LEAST_GROUPS = 10
Matrix = list[list[float]]


@dataclass
class Record:
    """What was seen of two things: weight of wins of the first, wins of the second, ties."""

    wins: float = 0.0
    losses: float = 0.0
    ties: float = 0.0


Records = dict[tuple[str, str], Record]


@dataclass(frozen=True)
class Strength:
    """On the log scale, 0 is the average; `low` and `high` are the ends of the 95 % interval."""

    value: float
    low: float
    high: float


class NoEstimate(ValueError):
    """Without a prior the data have no finite estimate; the message says why."""


def count(records: Records, vote: Vote, name_of: Mapping[int, str]) -> None:
    """Add every comparison of one ranking; candidates of the same name are not compared."""
    places = [(pk, name_of[pk], level) for level, tier in enumerate(vote.tiers) for pk in tier if pk in name_of]
    for position, (pk, name, level) in enumerate(places):
        for another, other, lower in places[position + 1 :]:
            if name == other or vote.says_nothing_of(pk, another):
                continue
            first, second = min(name, other), max(name, other)
            record = records.setdefault((first, second), Record())
            if level == lower:
                record.ties += vote.weight
            elif name == first:
                record.wins += vote.weight
            else:
                record.losses += vote.weight


def fit(records: Records, prior: float = 0.5) -> dict[str, Strength]:
    """Strengths with intervals from the curvature."""
    names, values = _maximum(records, prior)
    if not names:
        return {}
    _, hessian = _slope_and_curvature(records, names, values, prior)
    errors = [math.sqrt(max(_solve(hessian, _unit(len(values), place))[place], 0.0)) for place in range(len(names))]
    return {name: _strength(value, error) for name, value, error in zip(names, values, errors, strict=False)}


def jackknifed(groups: Sequence[Records], prior: float = 0.5) -> dict[str, Strength]:
    """Strengths from all groups, with intervals from leaving out each in turn, if there are enough of them."""
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


def _sum(groups: Sequence[Records]) -> Records:
    total: Records = {}
    for group in groups:
        for pair, record in group.items():
            into = total.setdefault(pair, Record())
            into.wins += record.wins
            into.losses += record.losses
            into.ties += record.ties
    return total


def _maximum(records: Records, prior: float) -> tuple[list[str], list[float]]:
    """Names, and their strengths with the logarithm of ν last (left out where nobody tied)."""
    names = sorted({name for pair in records for name in pair})
    if not names:
        return [], []
    if not prior:
        _refuse_what_has_no_maximum(records, names)
    values = [0.0] * (len(names) + _has_ties(records))
    height = _height(records, names, values, prior)
    for _ in range(100):
        slope, curvature = _slope_and_curvature(records, names, values, prior)
        if max(abs(part) for part in slope) < 1e-9:
            break
        step = _solve(curvature, slope)
        size = 1.0
        while size > 1e-6:
            tried = [value + size * part for value, part in zip(values, step, strict=True)]
            reached = _height(records, names, tried, prior)
            if reached >= height - 1e-12:
                break
            size /= 2
        values, height = tried, reached
    middle = math.fsum(values[: len(names)]) / len(names)
    return names, [value - middle for value in values[: len(names)]] + values[len(names) :]


def _has_ties(records: Records) -> int:
    return int(any(record.ties for record in records.values()))


def _refuse_what_has_no_maximum(records: Records, names: list[str]) -> None:
    """A maximum exists where every thing is led to from every other by wins or ties."""
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
    """Of a win of the first, of the second, and of a tie."""
    tie = -math.inf if log_nu is None else log_nu + (first + second) / 2
    top = max(first, second, tie)
    odds = [math.exp(first - top), math.exp(second - top), math.exp(tie - top)]
    total = sum(odds)
    return odds[0] / total, odds[1] / total, odds[2] / total


def _height(records: Records, names: list[str], values: list[float], prior: float) -> float:
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
    records: Records, names: list[str], values: list[float], prior: float
) -> tuple[list[float], Matrix]:
    """The gradient, and the negative Hessian with a trace on its diagonal that only fixes the scale's zero."""
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


def _unit(size: int, place: int) -> list[float]:
    return [float(number == place) for number in range(size)]


def _solve(matrix: Matrix, right: Sequence[float]) -> list[float]:
    """Gaussian elimination with pivots; the matrices here are small and positive definite."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        if abs(rows[column][column]) < 1e-300:
            continue
        for row in range(column + 1, size):
            factor = rows[row][column] / rows[column][column]
            if factor:
                rows[row] = [value - factor * above for value, above in zip(rows[row], rows[column], strict=True)]
    found = [0.0] * size
    for row in reversed(range(size)):
        known = math.fsum(rows[row][column] * found[column] for column in range(row + 1, size))
        found[row] = (rows[row][size] - known) / rows[row][row] if abs(rows[row][row]) > 1e-300 else 0.0
    return found
