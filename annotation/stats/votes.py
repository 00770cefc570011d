"""Votes on two things, merged. Preference pairs of snapshots and of the reward model are made by this."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple


class Tally(NamedTuple):
    """Weighted votes on two candidates: the weight that put the first above the second, the reverse, and all of it.

    `distance` is the weighted mean of how far the first stood above the second, in units of the longest possible
    distance: from -1 to 1.
    """

    ahead: float
    behind: float
    total: float
    distance: float

    @property
    def is_even(self) -> bool:
        """As much weight each way, or only ties."""
        return math.isclose(self.ahead, self.behind, rel_tol=1e-9)

    @property
    def share(self) -> float:
        """The part of the weight that put the first above; a tie counts half for each."""
        return (self.ahead + (self.total - self.ahead - self.behind) / 2) / self.total

    @property
    def margin(self) -> float:
        """The mean distance towards the majority; 0 where a strong minority outweighs it, or the votes are even."""
        if self.is_even:
            return 0.0
        return max(self.distance if self.ahead > self.behind else -self.distance, 0.0)


def tally_of(votes: Iterable[tuple[float, float]]) -> Tally:
    """Merge votes on two candidates, each a distance (positive: the first is better; 0: a tie) and a weight."""
    votes = list(votes)
    total = math.fsum(weight for _, weight in votes)
    return Tally(
        ahead=math.fsum(weight for distance, weight in votes if distance > 0),
        behind=math.fsum(weight for distance, weight in votes if distance < 0),
        total=total,
        distance=math.fsum(weight * distance for distance, weight in votes) / total,
    )
