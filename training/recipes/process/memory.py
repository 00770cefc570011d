"""Work in parts that fit into memory: a part that does not is halved, and the run goes on."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from training.recipes.process import failures
from training.recipes.process.log import remark

_Item = TypeVar("_Item")
_Done = TypeVar("_Done")


class MicroBatches:
    """How many rows are in memory at once: `size`, less once memory has run out."""

    def __init__(self, size: int, unit: str) -> None:
        """`size` 0: all rows. `unit` is what rows are called, for the log."""
        self.size, self.unit = size, unit
        self.alone = True  # no other process must make the same parts

    def run(
        self, rows: Sequence[_Item], part: Callable[[Sequence[_Item]], torch.Tensor], start_again: Callable[[], object]
    ) -> torch.Tensor | None:
        """Return the sum of what `part(rows)` gives for each part of `rows`; None without rows.

        `part` adds its gradients to those of the parts before; `start_again()` drops them.
        """
        values = self.collect(rows, part, start_again)
        return torch.stack(values).sum(0) if values else None

    def collect(
        self,
        rows: Sequence[_Item],
        part: Callable[[Sequence[_Item]], _Done],
        start_again: Callable[[], object] = lambda: None,
    ) -> list[_Done]:
        """Return what `part(rows)` gives for each part of `rows`.

        Where memory runs out, all rows are gone over once more in parts of half the size, after `start_again()`. Raises
        what `part` raises once a row is alone.
        """
        while True:
            at_once = min(self.size or len(rows), len(rows))
            done = []
            try:
                for at in range(0, len(rows), at_once or 1):
                    done.append(part(rows[at : at + at_once]))
            except Exception as problem:
                if not failures.is_out_of_memory(problem) or at_once <= 1 or not self.alone:
                    raise
            else:
                return done
            # Outside of `except`: the exception's frames hold the tensors that did not fit.
            self.size = at_once // 2
            done.clear()
            start_again()
            free_memory()
            remark(f"Memory ran out with {at_once} {self.unit} at once: it goes on with {self.size}")


def free_memory() -> None:
    """Give back what failed computations have left."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
