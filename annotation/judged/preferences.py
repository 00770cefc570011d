"""Rankings of one candidate set, merged into preference pairs that keep what is known.

A pair keeps how many put the one above the other, how many the reverse and how many tied them. Where the votes are even
nobody preferred anything, and no pair is made: disagreement must not turn into an order. Where majorities run in a
circle (a over b, b over c, c over a) the pairs stay, marked, with the share of votes as a soft label: each of them is
what most people said, but no order of all three is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from annotation.stats.votes import tally_of

Tiers = Sequence[Sequence[int]]
MAX_STRENGTH = 2


@dataclass(frozen=True)
class Vote:
    """One person's ranking: tiers, best first, what is below the line of acceptance, and its weight.

    `unranked` are candidates without a place: all others are above them, and no two of them are compared. `strength` is
    that of a graded comparison: 1 better, 2 much better.
    """

    tiers: Tiers
    unacceptable: Sequence[int] = ()
    weight: float = 1.0
    unranked: Collection[int] = ()
    strength: int | None = None

    def says_nothing_of(self, first: int, second: int) -> bool:
        """Return whether neither of the two got a place."""
        return first in self.unranked and second in self.unranked

    def longest(self, candidates: int) -> float:
        """Return the distance in tiers that is a margin of 1. "Better" is half of what "much better" is."""
        if self.strength is None:
            return max(candidates - 1, 1)
        return MAX_STRENGTH / max(self.strength, 1)


@dataclass(slots=True)
class Pair:
    """`margin` is the mean distance in tiers, chosen above rejected, over all rankings, in units of
    the longest possible distance (candidates - 1): from 0 to 1, and alike in rankings of different length.

    `share` is the soft label: the part of the votes, by weight, that put chosen first; a tie counts half for each.
    `weight` is the mean weight of the votes. The last two count the votes below whose line each answer stands.
    """

    chosen: int
    rejected: int
    votes_for: int
    votes_against: int
    ties: int
    margin: float
    share: float
    weight: float = 1.0
    in_cycle: bool = False
    chosen_unacceptable: int = 0
    rejected_unacceptable: int = 0


@dataclass(slots=True)
class Even:
    """Two candidates without a majority: equal weight each way, or only ties."""

    first: int
    second: int
    votes_each_way: tuple[int, int]
    ties: int


def places(tiers: Tiers) -> dict[int, int]:
    """Return the place of each candidate, from 0; candidates of one tier share it."""
    return {pk: place for place, tier in enumerate(tiers) for pk in tier}


def merge(votes: Sequence[Vote]) -> tuple[list[Pair], list[Even]]:
    """Return the pairs over the candidates of one task, and those on which the votes are even.

    A ranking that lacks a candidate says nothing about it, and one of weight 0 nothing at all.
    """
    counted = [(vote, places(vote.tiers)) for vote in votes if vote.weight > 0]
    if len(counted) == 1:
        return _of_one_ranking(*counted[0])
    candidates = sorted({pk for _, places in counted for pk in places})
    pairs: list[Pair] = []
    evens: list[Even] = []
    for first, second in combinations(candidates, 2):
        both = [
            (vote, places)
            for vote, places in counted
            if first in places and second in places and not vote.says_nothing_of(first, second)
        ]
        match _compare(first, second, both):
            case Pair() as pair:
                pairs.append(pair)
            case Even() as even:
                evens.append(even)
    return _mark_cycles(pairs), evens


def _of_one_ranking(vote: Vote, places: dict[int, int]) -> tuple[list[Pair], list[Even]]:
    """Return what `_compare` would, in a fifth of the time: most tasks have been ranked once."""
    pairs, evens, most = [], [], vote.longest(len(places))
    for first, second in combinations(sorted(places), 2):
        if vote.unranked and vote.says_nothing_of(first, second):
            continue
        distance = places[second] - places[first]
        if distance == 0:
            evens.append(Even(first, second, (0, 0), 1))
            continue
        if distance < 0:
            first, second = second, first
        margin = round(abs(distance) / most, 6)
        below = first in vote.unacceptable, second in vote.unacceptable
        pairs.append(Pair(first, second, 1, 0, 0, margin, 1.0, round(vote.weight, 6), False, *map(int, below)))
    return pairs, evens


def _compare(first: int, second: int, both: list[tuple[Vote, dict[int, int]]]) -> Pair | Even | None:
    """Return what the votes say of two candidates that all of them placed; None where there is no vote."""
    if not both:
        return None
    # Positive: first is better, by that many tiers.
    distances = [places[second] - places[first] for _, places in both]
    tally = tally_of(
        (distance / vote.longest(len(places)), vote.weight)
        for distance, (vote, places) in zip(distances, both, strict=True)
    )
    ups, downs = sum(distance > 0 for distance in distances), sum(distance < 0 for distance in distances)
    ties = len(both) - ups - downs
    if tally.is_even:
        return Even(first, second, (ups, downs), ties)
    if tally.ahead < tally.behind:
        first, second, ups, downs = second, first, downs, ups
    return Pair(
        chosen=first,
        rejected=second,
        votes_for=ups,
        votes_against=downs,
        ties=ties,
        margin=round(tally.margin, 6),
        share=round(max(tally.share, 1 - tally.share), 6),
        weight=round(tally.total / len(both), 6),
        chosen_unacceptable=sum(first in vote.unacceptable for vote, _ in both),
        rejected_unacceptable=sum(second in vote.unacceptable for vote, _ in both),
    )


def _mark_cycles(pairs: list[Pair]) -> list[Pair]:
    """Mark the pairs in which majorities also lead from the rejected answer back to the chosen one."""
    below: dict[int, set[int]] = {}
    for pair in pairs:
        below.setdefault(pair.chosen, set()).add(pair.rejected)
    return [replace(pair, in_cycle=True) if pair.chosen in _reachable(pair.rejected, below) else pair for pair in pairs]


def _reachable(start: int, below: dict[int, set[int]]) -> set[int]:
    found: set[int] = set()
    waiting = [start]
    while waiting:
        for candidate in below.get(waiting.pop(), set()) - found:
            found.add(candidate)
            waiting.append(candidate)
    return found
