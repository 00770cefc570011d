"""A project's rankings and unary judgments as plain rows, read once: everything that figures of quality are made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Length, Replace
from django.db.models.lookups import LessThan

from annotation.judged.preferences import Tiers
from annotation.models import Assignment, Candidate, GoldAnswer, Project, Purpose, Ranking, UnaryJudgment
from annotation.quality.agreement import Choices, choices, verdict

MOST_READ = 100_000  # annotations: they take 300 MB and less than a minute
KNUTH, SALT, HASHES = 2654435761, 40503, 2**31 - 1


@dataclass
class Record:
    """One ranking or unary judgment. `shown` is the order in which its answers stood on the page.

    `good` says whether the only response is good; None for a ranking.
    """

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
    good: bool | None = None

    @cached_property
    def choices(self) -> Choices:
        return choices(self.tiers, self.unranked) if self.good is None else verdict(self.good)


@dataclass(frozen=True)
class Text:
    """How long an answer is."""

    characters: int
    words: int


@dataclass
class Records:
    """`work` are rankings of the queue and `unary` its unary judgments; `checks` of both are known tasks, repeats and
    practice, which are no votes.
    """

    work: list[Record] = field(default_factory=list)
    unary: list[Record] = field(default_factory=list)
    checks: list[Record] = field(default_factory=list)
    texts: dict[int, Text] = field(default_factory=dict)
    gold: dict[int, Choices] = field(default_factory=dict)
    policies: dict[int, int] = field(default_factory=dict)
    calibration: set[int] = field(default_factory=set)  # tasks that everybody judges
    judged: int = 0  # annotations of the project, of which more than MOST_READ are not all read

    def without(self, tasks: Collection[int]) -> Records:
        """Return the records of all other tasks, those that repeat one of these left out as well."""
        if not tasks:
            return self
        kept = [
            [each for each in some if each.task not in tasks and each.repeat_of not in tasks]
            for some in (self.work, self.checks, self.unary)
        ]
        return replace(self, work=kept[0], checks=kept[1], unary=kept[2])

    @cached_property
    def by_task(self) -> dict[int, list[Record]]:
        """Return the rankings of each ranked task."""
        return _by_task(self.work)

    @cached_property
    def unary_by_task(self) -> dict[int, list[Record]]:
        """Return the unary judgments of each unary task."""
        return _by_task(self.unary)

    @cached_property
    def overlapping(self) -> list[list[Record]]:
        """Return the rankings of tasks that more than one person ranked."""
        return [records for records in self.by_task.values() if len(records) > 1]

    @cached_property
    def overlapping_of_both(self) -> list[list[Record]]:
        """Return the tasks that more than one person judged, ranked or unary."""
        return self.overlapping + [records for records in self.unary_by_task.values() if len(records) > 1]

    @property
    def work_of_both(self) -> list[Record]:
        """Return the rankings and the unary judgments of the queue."""
        return [*self.work, *self.unary]


def _by_task(records: list[Record]) -> dict[int, list[Record]]:
    tasks: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        tasks[record.task].append(record)
    return dict(tasks)


def read_records(project: Project) -> Records:
    """Return what was said in a project; of more than MOST_READ annotations, those of tasks drawn at random."""
    everybodys = project.tasks.filter(calibration=True).values_list("pk", flat=True)
    judged = Assignment.objects.judged().filter(project=project).count()
    found = Records(gold=_gold(project), calibration=set(everybodys), judged=judged)
    drawn = _drawn(MOST_READ / max(judged, 1))
    _read_texts(project, found, drawn)
    said = Ranking.objects.filter(drawn, assignment__project=project)
    said = said.exclude(assignment__task__purpose=Purpose.EVALUATION)
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
    _read_unary(project, found, drawn)
    return found


def _drawn(share: float) -> Q:
    """Return a condition on judgments: a share of the tasks by a hash of their number, and all that are checks."""
    if share >= 1:
        return Q()
    hashed = (F("assignment__task_id") * KNUTH + SALT) % HASHES  # multiplicative hashing (Knuth, 6.4)
    checks = Q(assignment__task__purpose__in=[Purpose.GOLD, Purpose.REPEAT, Purpose.PRACTICE])
    return Q(LessThan(hashed, int(share * HASHES))) | checks


def _read_unary(project: Project, found: Records, drawn: Q) -> None:
    rows = UnaryJudgment.objects.filter(drawn, assignment__project=project).order_by("id")
    for task, annotator, good, shown, active_ms, at, purpose, repeat_of in rows.values_list(
        "assignment__task_id",
        "assignment__annotator_id",
        "good",
        "assignment__shown_order",
        "assignment__active_ms",
        "created_at",
        "assignment__task__purpose",
        "assignment__task__repeat_of_id",
    ).iterator(chunk_size=5000):
        below = [] if good else shown
        record = Record(annotator, task, [shown], shown, below, [], active_ms, at, purpose, repeat_of, good)
        (found.unary if purpose == Purpose.WORK else found.checks).append(record)


def _read_texts(project: Project, found: Records, drawn: Q) -> None:
    """Read the lengths of the judged tasks' answers, and the newest policy version among their authors."""
    ranked = Ranking.objects.filter(drawn, assignment__project=project).values("assignment__task_id")
    _read_texts_of(Candidate.objects.filter(task__in=ranked), found)
    unary = UnaryJudgment.objects.filter(drawn, assignment__project=project).values("assignment__task_id")
    _read_texts_of(Candidate.objects.filter(task__in=unary), found)


def _read_texts_of(candidates: QuerySet[Candidate], found: Records) -> None:
    rows = candidates.annotate(
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
    rows = GoldAnswer.objects.filter(task__project=project)
    columns = ("task_id", "task__kind", "tiers", "unacceptable")
    return {task: known_choices(kind, tiers, bad) for task, kind, tiers, bad in rows.values_list(*columns)}


def known_choices(kind: str, tiers: Tiers, unacceptable: Sequence[int]) -> Choices:
    """Return the choices of a known order, or of a response that is known to be good or bad."""
    return verdict(not unacceptable) if kind == "unary" else choices(tiers)
