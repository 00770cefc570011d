"""The examples that a request for new tasks may show: seed tasks, and what people accepted in this project."""

from __future__ import annotations

from collections.abc import Iterator

from annotation.exports.pool import pool
from annotation.models import Project
from training.instructions.seeds import seed_tasks
from training.rundir import Row

EXAMPLES = "examples"  # a method's data: rows of id, instruction, input, output


def examples(project: Project) -> Iterator[Row]:
    for task in seed_tasks():
        yield {"id": f"seed:{task.id}", "instruction": task.instruction, "input": task.input, "output": task.output}
    for item in pool(project):
        texts = {"instruction": item.instruction, "input": item.input, "output": item.output}
        yield {"id": f"proposal:{item.proposal.pk}", **texts}
