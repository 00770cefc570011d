"""Label tasks: one for each text, opened where a project has labels; and which of them come first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from annotation.actions import passed_over
from annotation.exports.context import conversation_text
from annotation.models import Assignment, Project, Prompt, Purpose, SeatStatus, Task
from annotation.opaque import dice

KIND = "label"
AT_ONCE = 1000
PLACES = 100  # steps of priority between the surest text and the least sure one


def open_label_tasks(*, project: Project, prompts: QuerySet[Prompt] | None = None) -> int:
    """Open a label task for each of the prompts (default: all of the project) without one; return how many."""
    if not project.labels:
        return 0
    has_one = Task.objects.filter(prompt=OuterRef("pk"), kind=KIND, purpose=Purpose.WORK)
    wanted = (project.prompts.all() if prompts is None else prompts).filter(~Exists(has_one), withdrawn_at=None)
    missing = list(wanted.order_by("pk").values_list("pk", flat=True))
    for at in range(0, len(missing), AT_ONCE):
        _open(project, missing[at : at + AT_ONCE])
    return len(missing)


@transaction.atomic
def follow_settings(*, project: Project) -> None:
    """Open label tasks where the project has labels; where it has none any more, delete those nobody has begun."""
    if project.labels:
        open_label_tasks(project=project)
        return
    begun = Assignment.objects.filter(task=OuterRef("pk")).exclude(status=SeatStatus.EMPTY)
    project.tasks.filter(~Exists(begun), kind=KIND, purpose=Purpose.WORK).delete()


@transaction.atomic
def _open(project: Project, prompts: list[int]) -> None:
    seats = project.seats_per_task
    opened = Task.objects.bulk_create(
        [
            # An origin, so that the database itself allows no second one.
            Task(project=project, prompt_id=pk, kind=KIND, seats=seats, planned_seats=seats, origin=KIND)
            for pk in prompts
        ]
    )
    Assignment.objects.bulk_create(
        [
            Assignment(task=task, seat_number=number, project=project, priority=task.priority)
            for task in opened
            for number in range(1, seats + 1)
        ],
        batch_size=AT_ONCE,
    )


def unlabelled(project: Project) -> Iterator[dict[str, object]]:
    """Yield the texts whose label tasks nobody has begun, as rows without a label."""
    begun = Assignment.objects.filter(task=OuterRef("pk")).exclude(status=SeatStatus.EMPTY)
    tasks = project.tasks.filter(~Exists(begun), kind=KIND, purpose=Purpose.WORK).order_by("prompt_id")
    for prompt, messages in tasks.values_list("prompt_id", "prompt__messages").iterator(AT_ONCE):
        text = messages[0]["content"] if len(messages) == 1 else conversation_text(messages)
        yield {"prompt_id": prompt, "text": text, "label": None, "split": "pool"}


@transaction.atomic
def prioritise(
    *, project: Project, margins: Mapping[int, float], control_share: float = 0.2, seed: int = 0
) -> list[int]:
    """Move the texts with the smallest margins to the front of the queue; return the tasks drawn as a control group.

    `margins` are by prompt: how much likelier the first label is than the second, from 0 to 1. A random share keeps its
    priority, so that new labels can still be compared with those of all texts. Only tasks without an assignment move.
    """
    begun = Assignment.objects.filter(task=OuterRef("pk")).exclude(status=SeatStatus.EMPTY)
    tasks = project.tasks.filter(~Exists(begun), kind=KIND, prompt__in=list(margins)).order_by("pk")
    drawn, control = dice("control", project.pk, seed), []
    places: dict[int, list[int]] = {}
    for pk, prompt in tasks.values_list("pk", "prompt_id"):
        if drawn.random() < control_share:
            control.append(pk)
            place = drawn.randint(0, PLACES)
        else:
            place = round(PLACES * (1 - margins[prompt]))
        places.setdefault(place, []).append(pk)
    for place, moved in places.items():
        for at in range(0, len(moved), AT_ONCE):
            part = moved[at : at + AT_ONCE]
            Task.objects.filter(pk__in=part).update(priority=place)
            Assignment.objects.filter(task__in=part, status=SeatStatus.EMPTY).update(priority=place)
    passed_over.invalidate(project.pk)
    return control
