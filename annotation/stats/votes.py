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
        """Return whether the weight is equal each way, or all votes are ties."""
        return math.isclose(self.ahead, self.behind, rel_tol=1e-9)

    @property
    def share(self) -> float:
        """Return the share of the weight that prefers the first; a tie counts half for each."""
        return (self.ahead + (self.total - self.ahead - self.behind) / 2) / self.total

    @property
    def margin(self) -> float:
        """Return the mean distance towards the majority; 0 for even votes or where a strong minority outweighs it."""
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
