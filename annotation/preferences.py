"""Rankings of one candidate set, merged into preference pairs.

A pair keeps how many rankings put the one above the other and how many the reverse. Where the votes are even nobody
preferred anything, and no pair is made: disagreement must not turn into an order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

Tiers = Sequence[Sequence[int]]
MAX_STRENGTH = 2


@dataclass(frozen=True)
class Pair:
    """`margin` is the mean distance in tiers, chosen above rejected, over all rankings, in units of
    the longest possible distance (candidates - 1): from 0 to 1, and alike in rankings of different length."""

    chosen: int
    rejected: int
    votes_for: int
    votes_against: int
    margin: float


def merge(
    rankings: Sequence[Tiers],
    *,
    unranked: Sequence[Collection[int]] | None = None,
    strengths: Sequence[int | None] | None = None,
) -> tuple[list[Pair], int]:
    """Pairs over the candidates of one task, and the number of pairs on which the votes are even (ties).

    A ranking that lacks a candidate says nothing about it. `unranked` are, per ranking, the candidates that got no
    place: it puts all others above them and says nothing about two of them. `strengths` are those of graded
    comparisons: a distance of half the longest for "better", of all of it for "much better".
    """
    silent = unranked or [()] * len(rankings)
    grades = strengths or [None] * len(rankings)
    places = [{pk: level for level, tier in enumerate(tiers) for pk in tier} for tiers in rankings]
    candidates = sorted({pk for place in places for pk in place})
    pairs, ties = [], 0
    for first, second in combinations(candidates, 2):
        # Positive: first is better, by that many tiers.
        distances = [
            (place[second] - place[first], max(len(place) - 1, 1) if grade is None else MAX_STRENGTH / max(grade, 1))
            for place, silence, grade in zip(places, silent, grades, strict=True)
            if first in place and second in place and not (first in silence and second in silence)
        ]
        if not distances:
            continue
        ahead = sum(distance > 0 for distance, _ in distances)
        behind = sum(distance < 0 for distance, _ in distances)
        if ahead == behind:
            ties += 1
            continue
        margin = sum(distance / most for distance, most in distances) / len(distances)
        if ahead > behind:
            pairs.append(Pair(first, second, ahead, behind, round(max(margin, 0.0), 6)))
        else:
            pairs.append(Pair(second, first, behind, ahead, round(max(-margin, 0.0), 6)))
    return pairs, ties
