"""What people have said of pairs of responses and can no longer take back: what AI judges are compared with."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from annotation.judged.rows import rankings_that_count
from annotation.models import Assignment, Exclusion, Project
from annotation.quality.agreement import Choices, choices


@dataclass
class PeoplesTask:
    """A task that people have ranked, and each person's choices on its pairs."""

    pk: int
    prompt: int
    choices: dict[int, Choices] = field(default_factory=dict)  # by person

    def said_of(self, first: int, second: int) -> list[int]:
        """Return what each person said of a pair: 1 where `first` is better, -1 where `second` is, 0 for a tie."""
        return [own[first, second] for own in self.choices.values() if (first, second) in own]


def final_choices(project: Project, tasks: QuerySet[Any] | None = None) -> dict[int, PeoplesTask]:
    """Return the ranked tasks of prompts in use, without people who are excluded and rankings that can be undone.

    `tasks`: the ids of those that are wanted.
    """
    own = Assignment.objects.filter(project=project)
    excluded = Exclusion.objects.in_force().filter(project=project).values("annotator_id")
    said = rankings_that_count(project).filter(
        assignment__in=own.judged().values("pk"),
        assignment__task__kind="ranking",
        assignment__task__prompt__withdrawn_at=None,
    )
    said = said.exclude(assignment__in=own.not_final().values("pk")).exclude(assignment__annotator__in=excluded)
    if tasks is not None:
        said = said.filter(assignment__task__in=tasks)
    found: dict[int, PeoplesTask] = {}
    columns = ("assignment__task_id", "assignment__task__prompt_id", "assignment__annotator_id", "tiers", "unranked")
    for task, prompt, person, tiers, unranked in said.order_by("pk").values_list(*columns).iterator(chunk_size=5000):
        each = found.setdefault(task, PeoplesTask(task, prompt))
        each.choices[person] = choices(tiers, unranked)
    return found


def pairs_of(task: PeoplesTask) -> dict[tuple[int, int], list[int]]:
    """Return what people said of each pair of a task that any of them judged."""
    said: dict[tuple[int, int], list[int]] = defaultdict(list)
    for own in task.choices.values():
        for pair, choice in own.items():
            said[pair].append(choice)
    return dict(said)
