"""TRL's trainers with steps that are learned in parts: as many rows at once as fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from training.recipes.process.memory import MicroBatches
from training.rundir import Row


class InParts:
    """Mixed into a trainer, before it: a batch comes as its rows, and each part of them is collated by itself.

    Gradients add up to those of the whole batch, so optimiser, schedule and figures know nothing of parts.
    """

    part_share = 1.0  # of the rows of a step, that are in the part at hand

    def learn_in_parts(self, memory: MicroBatches) -> None:
        """Begin to; called once, before the training."""
        trainer: Any = self
        self.memory, self.collate = memory, trainer.data_collator
        trainer.data_collator = as_rows

    def training_step(self, model: nn.Module, inputs: Row, *_: Any) -> Tensor:
        """Return the loss of a step, whose gradients are added to the model's."""
        rows, step = inputs["rows"], super().training_step  # type: ignore[misc]
        items = self.count_items(rows)

        def part(some: Sequence[Row]) -> Tensor:
            self.part_share = len(some) / len(rows)
            loss: Tensor = step(model, self.collate(list(some)), items)
            return loss

        loss = self.memory.run(rows, part, model.zero_grad)
        assert loss is not None
        return loss

    def count_items(self, _rows: list[Row]) -> int | None:
        """Return by how many tokens of all rows a part's loss is divided; None where it is a mean over its rows."""
        return None

    def compute_loss(self, *arguments: Any, **options: Any) -> Any:
        """Return the part's share of the step's loss."""
        loss = super().compute_loss(*arguments, **options)  # type: ignore[misc]
        if options.get("num_items_in_batch") is not None:
            return loss  # divided by the tokens of all rows already
        return loss * self.part_share


def as_rows(rows: list[Row]) -> Row:
    """Return a batch that is still its rows."""
    return {"rows": rows}
