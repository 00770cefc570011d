"""TRL's trainers with steps that are learned in parts: as many rows at once as fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from accelerate.data_loader import prepare_data_loader
from torch import Tensor, nn

from training.recipes.process.distributed import Processes
from training.recipes.process.memory import MicroBatches
from training.rundir import Row


class InParts:
    """Mixed into a trainer, before it: a batch comes as its rows, and each part of them is collated by itself.

    Gradients add up to those of the whole batch, so optimiser, schedule and figures know nothing of parts. Of several
    processes each gets the whole batch and learns from its share; `accelerate` averages their gradients. Rows that
    cannot be shared evenly, at the end of an epoch, are learned from in every process, as the same part.
    """

    part_share = 1.0  # of the rows of a step, that are in the part at hand, in all processes together
    copies = 1  # processes that learn from the part at hand as it is

    def learn_in_parts(self, memory: MicroBatches) -> None:
        """Begin to; called once, before the training."""
        trainer: Any = self
        self.memory, self.collate, self.processes = memory, trainer.data_collator, Processes()
        trainer.data_collator = as_rows
        if self.processes.count > 1:
            memory.alone = False
            trainer.accelerator.prepare_data_loader = partial(whole_batches, trainer.accelerator.device)

    def training_step(self, model: nn.Module, inputs: Row, *_: Any) -> Tensor:
        """Return the loss of a step, whose gradients are added to the model's."""
        rows, step, count = inputs["rows"], super().training_step, self.processes.count  # type: ignore[misc]
        items = self.count_items(rows)

        def part(some: Sequence[Row]) -> Tensor:
            self.part_share = len(some) * (count // self.copies) / len(rows)
            loss: Tensor = step(model, self.collate(list(some)), items)
            return loss

        each = len(rows) // count  # rows for every process; those behind them are for all
        shares = [
            (1, rows[self.processes.rank * each : (self.processes.rank + 1) * each]),
            (count, rows[each * count :]),
        ]
        losses = []
        for self.copies, share in shares:
            loss = self.memory.run(share, part, model.zero_grad)
            losses += [] if loss is None else [loss]
        return sum(losses[1:], losses[0])

    def count_items(self, _rows: list[Row]) -> int | None:
        """Return by how many tokens of all rows a part's loss is divided; None where it is a mean over its rows."""
        return None

    def compute_loss(self, *arguments: Any, **options: Any) -> Any:
        """Return the part's share of the step's loss."""
        loss = super().compute_loss(*arguments, **options)  # type: ignore[misc]
        if options.get("num_items_in_batch") is not None:
            return loss / self.copies  # divided by the tokens of all rows already, times the processes
        return loss * self.part_share


def as_rows(rows: list[Row]) -> Row:
    """Return a batch that is still its rows."""
    return {"rows": rows}


def whole_batches(device: Any, loader: Any, *_: Any, **__: Any) -> Any:
    """Return a loader that gives every process the same batches, in the order in which one process gets them."""
    return prepare_data_loader(loader, device, num_processes=1, process_index=0, use_seedable_sampler=True)
