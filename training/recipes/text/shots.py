"""Few-shot data: K rows per label to learn from and K others to choose by, the same for every method and machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from training.recipes.process.errors import RecipeError
from training.recipes.process.seeds import generator
from training.rundir import Row


@dataclass(frozen=True)
class Shots:
    """`train` and `dev` are disjoint; `test` are the held-out rows, none of which anything is chosen by."""

    train: list[Row]
    dev: list[Row]
    test: list[Row]
    labels: list[str]


def sample_shots(rows: Sequence[Row], labels: Sequence[str], shots: int, seed: int) -> Shots:
    """Return shuffled shots: per label the first K train, the next K select (Gao et al. 2012.15723).

    With `shots` 0 four fifths of all labelled rows are learned from. Raises RecipeError where a label has too few.
    """
    train = [row for row in rows if row["split"] == "train" and row.get("label") is not None]
    test = [row for row in rows if row["split"] == "eval" and row.get("label") is not None]
    if strangers := sorted({row["label"] for row in [*train, *test]} - set(labels)):
        raise RecipeError(f"Rows have labels for which the verbalizer has no word: {', '.join(strangers)}")
    if not test:
        raise RecipeError("There is no labelled row to test on")
    order = torch.randperm(len(train), generator=generator(seed, "shots")).tolist()
    by_label: dict[str, list[Row]] = {label: [] for label in labels}
    for place in order:
        by_label[train[place]["label"]].append(train[place])
    chosen: list[Row] = []
    dev: list[Row] = []
    for label, own in by_label.items():
        wanted = shots or max(1, len(own) * 4 // 5)
        if len(own) < 2 * shots or len(own) < 2:
            raise RecipeError(
                f"Label {label!r} has {len(own)} rows to learn from; {max(2, 2 * shots)} are needed, half of them to "
                "choose by"
            )
        chosen += own[:wanted]
        dev += own[wanted : 2 * shots or None]
    return Shots(chosen, dev, test, list(labels))


def macro_f1(wanted: Sequence[str], given: Sequence[str]) -> float:
    """Return the mean over labels of the harmonic mean of precision and recall; 0 for one that is never right."""
    right = Counter(label for label, other in zip(wanted, given, strict=True) if label == other)
    counts = Counter(wanted) + Counter(given)
    scores = [2 * right[label] / counts[label] for label in counts]
    return sum(scores) / len(scores)
