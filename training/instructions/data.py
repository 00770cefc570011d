"""What a project's instruction tuning trains on and is measured with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from django.utils import timezone

from annotation.exports import EXPORTS, SnapshotContext
from annotation.exports.pool import pool
from annotation.models import Project, SnapshotType
from training.instructions.recast import POOL, TRAIN, recast, recast_labelled, seed_rows
from training.instructions.seeds import seed_tasks
from training.instructions.tasks import TASKS
from training.rundir import Row


class Sources(Protocol):
    """The settings that choose the tasks, as in InstructionTuningConfig."""

    @property
    def per_task(self) -> int: ...
    @property
    def test_per_task(self) -> int: ...
    @property
    def clusters_held_out(self) -> Sequence[str]: ...
    @property
    def seed_tasks(self) -> bool: ...
    @property
    def pool(self) -> bool: ...
    @property
    def labelled(self) -> bool: ...
    @property
    def seed(self) -> int: ...


def rows_for(project: Project, config: Sources) -> Iterator[Row]:
    """Yield the rows of data.jsonl, by source. Raises NotPossible if labelled texts are wanted and missing."""
    held_out = config.clusters_held_out
    yield from recast(
        TASKS, held_out=held_out, per_task=config.per_task, test_per_task=config.test_per_task, seed=config.seed
    )
    if config.seed_tasks:
        yield from seed_rows(seed_tasks(), held_out)
    if config.pool:
        yield from pool_rows(project)
    if config.labelled:
        labelled = list(EXPORTS[SnapshotType.CLASSIFICATION](SnapshotContext(project, timezone.now())))
        labelled = [row for row in labelled if row["label"] is not None]
        labels = list(dict.fromkeys(row["label"] for row in labelled))
        yield from recast_labelled(labelled, labels, seed=config.seed)


def pool_rows(project: Project) -> Iterator[Row]:
    """Yield accepted proposals as training rows; their cluster is unknown, so none is held out."""
    for item in pool(project):
        name = f"proposal:{item.proposal.pk}"
        yield {
            "instruction": item.instruction,
            "input": item.input,
            "output": item.output,
            "options": [],
            "task": name,
            "cluster": "proposed",
            "template": name,
            "wording": "as written",
            "split": TRAIN,
            "source": POOL,
        }
