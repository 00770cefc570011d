"""How often a run saves a state to resume from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 1 / 20  # of the time that saving may take


class SavingPace:
    """When a state is due: every so many steps or, where none are set, when it takes less than SHARE of the time.

    What saving takes is measured each time: a state of all weights and their optimiser takes minutes on a slow disk, an
    adapter's takes no time worth mentioning.
    """

    def __init__(self, every: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        """`every`: steps between states; 0 leaves it to the clock."""
        self.every, self.clock = every, clock
        self.saved_at, self.seconds = clock(), 0.0  # when the last state was whole, and how long it took

    def is_due(self, step: int) -> bool:
        """Return whether a state should be saved after this step."""
        if self.every:
            return step % self.every == 0
        return self.clock() - self.saved_at > self.seconds * (1 / SHARE - 1)

    @contextmanager
    def saving(self, began: float | None = None) -> Iterator[None]:
        """Measure what saving takes; `began` is when it did, where that was before this."""
        began = self.clock() if began is None else began
        yield
        self.saved_at = self.clock()
        self.seconds = self.saved_at - began
