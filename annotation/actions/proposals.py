"""Proposed tasks go to people: each becomes one task of the queue, with one seat."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from annotation import live
from annotation.models import Assignment, Project, Proposal, Task

SEATS = 1


@transaction.atomic
def open_reviews(*, project: Project, proposals: Iterable[Proposal]) -> list[Task]:
    """Open review tasks for proposals without one."""
    waiting = [proposal for proposal in proposals if not hasattr(proposal, "task")]
    tasks = Task.objects.bulk_create(
        [
            Task(project=project, proposal=proposal, kind="proposal", seats=SEATS, planned_seats=SEATS)
            for proposal in waiting
        ]
    )
    Assignment.objects.bulk_create(
        [Assignment(task=task, seat_number=number, project=project) for task in tasks for number in range(1, SEATS + 1)]
    )
    if tasks:
        live.announce(project.pk, "queue")
    return tasks
