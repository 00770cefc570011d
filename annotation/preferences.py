"""Rankings of one candidate set, merged into preference pairs.

A pair keeps how many rankings put the one above the other and how many the reverse. Where the votes are even nobody
preferred anything, and no pair is made: disagreement must not turn into an order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

Tiers = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Pair:
    """`margin` is the mean distance in tiers, chosen above rejected, over all rankings, in units of
    the longest possible distance (candidates - 1): from 0 to 1, and alike in rankings of different length."""

    chosen: int
    rejected: int
    votes_for: int
    votes_against: int
    margin: float


def merge(rankings: Sequence[Tiers]) -> tuple[list[Pair], int]:
    """Pairs over the candidates of one task, and the number of pairs on which the votes are even (ties).

    A ranking that lacks a candidate says nothing about it.
    """
    places = [{pk: level for level, tier in enumerate(tiers) for pk in tier} for tiers in rankings]
    candidates = sorted({pk for place in places for pk in place})
    pairs, ties = [], 0
    for first, second in combinations(candidates, 2):
        # Positive: first is better, by that many tiers.
        distances = [
            (place[second] - place[first], max(len(place) - 1, 1))
            for place in places
            if first in place and second in place
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
