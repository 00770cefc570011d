"""A project's rankings as plain rows, read once: everything that figures of quality are made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from django.db.models import F, Value
from django.db.models.functions import Length, Replace

from annotation.judged.preferences import Tiers
from annotation.models import Candidate, GoldAnswer, Project, Purpose, Ranking
from annotation.quality.agreement import Choices, choices


@dataclass
class Record:
    """One ranking. `shown` is the order in which its answers stood on the page."""

    annotator: int
    task: int
    tiers: Tiers
    shown: Sequence[int] = ()
    unacceptable: Sequence[int] = ()
    unranked: Sequence[int] = ()
    active_ms: int = 0
    at: datetime | None = None
    purpose: str = Purpose.WORK
    repeat_of: int | None = None

    @cached_property
    def choices(self) -> Choices:
        return choices(self.tiers, self.unranked)


@dataclass(frozen=True)
class Text:
    """How long an answer is."""

    characters: int
    words: int


@dataclass
class Records:
    """`work` are judgments of the queue; `checks` are known tasks, repeats and practice, which are no votes."""

    work: list[Record] = field(default_factory=list)
    checks: list[Record] = field(default_factory=list)
    texts: dict[int, Text] = field(default_factory=dict)
    gold: dict[int, Choices] = field(default_factory=dict)
    policies: dict[int, int] = field(default_factory=dict)
    calibration: set[int] = field(default_factory=set)  # tasks that everybody judges

    def without(self, tasks: Collection[int]) -> Records:
        """Return the records of all other tasks, those that repeat one of these left out as well."""
        if not tasks:
            return self
        kept = [
            [each for each in some if each.task not in tasks and each.repeat_of not in tasks]
            for some in (self.work, self.checks)
        ]
        return replace(self, work=kept[0], checks=kept[1])

    @cached_property
    def by_task(self) -> dict[int, list[Record]]:
        tasks: dict[int, list[Record]] = defaultdict(list)
        for record in self.work:
            tasks[record.task].append(record)
        return dict(tasks)

    @cached_property
    def overlapping(self) -> list[list[Record]]:
        """Return the tasks that more than one person judged."""
        return [records for records in self.by_task.values() if len(records) > 1]


def read_records(project: Project) -> Records:
    everybodys = project.tasks.filter(calibration=True).values_list("pk", flat=True)
    found = Records(gold=_gold(project), calibration=set(everybodys))
    _read_texts(project, found)
    said = Ranking.objects.filter(assignment__project=project).exclude(assignment__task__purpose=Purpose.EVALUATION)
    rows = said.order_by("id")
    for task, annotator, tiers, unacceptable, unranked, shown, active_ms, at, purpose, repeat_of in rows.values_list(
        "assignment__task_id",
        "assignment__annotator_id",
        "tiers",
        "unacceptable",
        "unranked",
        "assignment__shown_order",
        "assignment__active_ms",
        "created_at",
        "assignment__task__purpose",
        "assignment__task__repeat_of_id",
    ).iterator(chunk_size=5000):
        record = Record(annotator, task, tiers, shown, unacceptable, unranked, active_ms, at, purpose, repeat_of)
        (found.work if purpose == Purpose.WORK else found.checks).append(record)
    return found


def _read_texts(project: Project, found: Records) -> None:
    """Read the lengths of the judged tasks' answers, and the newest policy version among their authors."""
    judged = Ranking.objects.filter(assignment__project=project).values("assignment__task_id")
    rows = Candidate.objects.filter(task__in=judged).annotate(
        characters=Length("completion__text"),
        spaces=F("characters") - Length(Replace("completion__text", Value(" "), Value(""))),
    )
    for task, pk, characters, spaces, policy in rows.values_list(
        "task_id", "completion_id", "characters", "spaces", "completion__policy__number"
    ).iterator(chunk_size=5000):
        found.texts[pk] = Text(characters, spaces + 1)
        if policy is not None:
            found.policies[task] = max(policy, found.policies.get(task, policy))


def _gold(project: Project) -> dict[int, Choices]:
    rows = GoldAnswer.objects.filter(task__project=project).values_list("task_id", "tiers")
    return {task: choices(tiers) for task, tiers in rows}
