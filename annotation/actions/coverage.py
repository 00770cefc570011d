"""How many people judge a task: by the settings, and by what they said so far.

A seat that is not wanted any more is deleted while it is empty, and a task's number of seats follows. So a closed seat
needs no status of its own, and "a task has its seats" stays true. Seats that are held or judged stay.
"""

from __future__ import annotations

from itertools import combinations

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Subquery
from django.db.models.functions import Coalesce

from annotation import live
from annotation.actions import passed_over
from annotation.judged.preferences import Tiers
from annotation.models import Assignment, Membership, Project, Prompt, Purpose, Ranking, Role, SeatStatus, Task
from annotation.models.task import OCCUPIED
from annotation.opaque import dice
from annotation.quality.agreement import balance, choices

MOST_EXTRA_SEATS = 2
TASKS_AT_ONCE = 1000


def is_calibration(prompt: Prompt, project: Project) -> bool:
    """Return whether everybody judges this prompt: by its hash and the server's secret, which nobody can tell."""
    return dice("calibration", prompt.digest).random() < project.calibration_share


def planned_seats(project: Project, *, calibration: bool) -> int:
    """Return the number of seats of a new ranking or unary task."""
    return max(project.seats_per_task, _annotators(project)) if calibration else project.seats_per_task


@transaction.atomic
def follow_settings(*, project: Project) -> None:
    """Give ranking and unary tasks that are still open as many seats as the settings say now."""
    unfinished = Assignment.objects.filter(task=OuterRef("pk"), status__in=[SeatStatus.EMPTY, SeatStatus.HELD])
    tasks = project.tasks.filter(Exists(unfinished), kind__in=["ranking", "unary"], purpose=Purpose.WORK)
    for calibration in (False, True):
        wanted = planned_seats(project, calibration=calibration)
        alike = tasks.filter(calibration=calibration).exclude(planned_seats=wanted)
        _plan(list(alike.values_list("pk", flat=True)), wanted)
    live.announce(project.pk, "queue")


@transaction.atomic
def open_seats_for_members(*, project: Project) -> None:
    """Give tasks that everybody judges a seat for each member who joined."""
    wanted = planned_seats(project, calibration=True)
    short = project.tasks.filter(calibration=True, planned_seats__lt=wanted)
    _plan(list(short.values_list("pk", flat=True)), wanted)


@transaction.atomic
def close_empty_seats(*, project: Project, tasks: list[int]) -> int:
    """Delete the empty seats of these tasks and return how many; seats that are held or judged stay."""
    empty = Assignment.objects.filter(project=project, status=SeatStatus.EMPTY, task__in=tasks)
    before = empty.count()
    for start in range(0, len(tasks), TASKS_AT_ONCE):
        _close_above(tasks[start : start + TASKS_AT_ONCE], 0)
    live.announce(project.pk, "queue")
    return before - empty.count()


def settle(*, task: Task, project: Project) -> None:
    """Close or open seats of a task by its rankings. Call it where a judgment was stored or taken back.

    Decided by the rankings alone, so that taking one back takes its consequence back, too.
    """
    if (
        task.kind != "ranking"
        or task.purpose != Purpose.WORK
        or task.calibration
        or not (project.early_stop or project.conflict_seat)
    ):
        return
    planned = Task.objects.select_for_update().get(pk=task.pk).planned_seats  # of two judgments the later sees both
    rankings = [ranking.tiers for ranking in Ranking.objects.filter(assignment__task=task).order_by("id")]
    wanted = planned + (extra_seats(rankings) if project.conflict_seat else 0)
    if project.early_stop and wanted > 2 and is_decided(rankings):
        _close_above([task.pk], 0)
    else:
        _close_above([task.pk], wanted)
        _open_up_to([task.pk], wanted)


def is_decided(rankings: list[Tiers]) -> bool:
    """Return whether two or more rankings put the same answers first and no two contradict each other."""
    firsts = {frozenset(tiers[0]) for tiers in rankings}
    return len(rankings) > 1 and len(firsts) == 1 and not any(contradict(a, b) for a, b in combinations(rankings, 2))


def extra_seats(rankings: list[Tiers]) -> int:
    """Return one for each ranking that contradicts an earlier one, at most MOST_EXTRA_SEATS."""
    contradicting = sum(
        any(contradict(tiers, earlier) for earlier in rankings[:number]) for number, tiers in enumerate(rankings)
    )
    return min(contradicting, MOST_EXTRA_SEATS)


def contradict(first: Tiers, second: Tiers) -> bool:
    """Return whether Kendall's τ-b of two rankings is at most zero; False where one ties all and it is undefined."""
    if len(first) < 2 or len(second) < 2:
        return False
    return balance(choices(first), choices(second)) <= 0


def _annotators(project: Project) -> int:
    return Membership.objects.filter(project=project, role=Role.ANNOTATOR).count()


def _plan(pks: list[int], wanted: int) -> None:
    for start in range(0, len(pks), TASKS_AT_ONCE):
        part = pks[start : start + TASKS_AT_ONCE]
        Task.objects.filter(pk__in=part).update(planned_seats=wanted)
        _close_above(part, wanted)
        _open_up_to(part, wanted)


def _close_above(tasks: list[int], wanted: int) -> None:
    """Delete the empty seats with a higher number."""
    Assignment.objects.filter(task__in=tasks, seat_number__gt=wanted, status=SeatStatus.EMPTY).delete()
    left = Assignment.objects.filter(task=OuterRef("pk"), status__in=OCCUPIED).order_by().values("task")
    highest = Subquery(left.annotate(most=Max("seat_number")).values("most"))
    Task.objects.filter(pk__in=tasks).update(seats=Coalesce(highest, 1))


def _open_up_to(tasks: list[int], wanted: int) -> None:
    """Create an empty seat for each number up to `wanted` that has none."""
    there = set(
        Assignment.objects.filter(task__in=tasks, status__in=OCCUPIED).order_by().values_list("task_id", "seat_number")
    )
    opened = [
        Assignment(task=task, seat_number=number, project_id=task.project_id, priority=task.priority)
        for task in Task.objects.filter(pk__in=tasks)
        for number in range(1, wanted + 1)
        if (task.pk, number) not in there
    ]
    if opened:
        Assignment.objects.bulk_create(opened)
        Task.objects.filter(pk__in=tasks, seats__lt=wanted).update(seats=wanted)
        passed_over.invalidate(opened[0].project_id)
