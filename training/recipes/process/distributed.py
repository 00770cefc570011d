"""Several processes that train one policy together, each on its share of every batch.

Started by `torchrun`, `accelerate launch` or the local executor; started alone, a recipe is one process of one. Each
process samples and reads its own prompts. The few numbers per token that statistics are made of go round to all, so
every process computes whitening, KL, its controller and the metrics on the whole batch; gradients are added up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from training.recipes.process.errors import RecipeError


class Processes:
    """This process (`rank`, from 0) among `count`."""

    def __init__(self) -> None:
        self.rank, self.count = 0, 1
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState  # joins the group that the environment describes: gloo or nccl

            state = PartialState(cpu=not torch.cuda.is_available())
            self.rank, self.count = state.process_index, state.num_processes

    @property
    def is_first(self) -> bool:
        """Return whether this is the process that writes files."""
        return self.rank == 0

    def share(self, whole: int) -> tuple[int, int]:
        """Return which part of `whole` groups this process works on: (first, how many)."""
        if whole % self.count:
            raise RecipeError(f"{whole} prompts per update cannot be shared evenly by {self.count} processes")
        each = whole // self.count
        return self.rank * each, each

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, in order: (own rows, t) → (all rows, longest t), padded with 0."""
        if self.count == 1:
            return rows
        parts = self.gather_objects([rows.cpu()])
        longest = max(part.shape[-1] for part in parts) if rows.dim() > 1 else 0
        padded = [torch.nn.functional.pad(part, (0, longest - part.shape[-1])) if longest else part for part in parts]
        return torch.cat(padded).to(rows.device)

    def gather_objects(self, items: Sequence[Any]) -> list[Any]:
        """Return the items of all processes in order, for evaluation rows and other small things."""
        if self.count == 1:
            return list(items)
        from accelerate.utils import gather_object

        gathered: list[Any] = gather_object(list(items))
        return gathered

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one message."""
        if self.count == 1:
            return
        from accelerate.utils import reduce

        total = reduce(torch.cat([tensor.flatten() for tensor in tensors]), reduction="sum")
        for tensor, part in zip(tensors, total.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))
