"""Tasks that check a person: known answers and repeats that come unmarked in the queue, and practice.

A check is a task of its own that repeats another one, so that one seat per person and task stays true and no judgment
of it is ever a vote. Its only seat is held from the start by the person it is for: no other person can claim it.
"""

from __future__ import annotations

import random

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q, QuerySet

from annotation import clock
from annotation.actions.assignments import lease_end
from annotation.models import (
    Assignment,
    Candidate,
    GoldAnswer,
    Membership,
    Project,
    Purpose,
    Role,
    SeatStatus,
    Task,
)
from annotation.opaque import dice

REPEAT_AFTER = 20  # judgments in between, so that the answer is not from memory


def claim_check(project: Project, by: User) -> Assignment | None:
    """Return an assignment that checks this person, for a share of their claims; None where the queue goes on.

    Drawn by how many seats the person has had, so that asking again does not draw again.
    """
    if not (project.gold_share or project.repeat_share):
        return None
    # Two tabs of one person take turns here; the second then finds the seat that the first one opened.
    Membership.objects.select_for_update().filter(project=project, user_id=by.pk).first()
    seats = Assignment.objects.filter(project=project, annotator_id=by.pk)
    if held := seats.held().first():
        return held
    drawn = dice("check", project.pk, by.pk, seats.count())
    lot = drawn.random()
    if _sees_checks(project, by):
        return None
    if lot < project.gold_share:
        return _known_task(project, by, drawn)
    if lot < project.gold_share + project.repeat_share:
        return _repeat(project, by, drawn)
    return None


def _sees_checks(project: Project, by: User) -> bool:
    """Return whether a person may look up known orders and which tasks are checks, which then say nothing of them."""
    return project.memberships.filter(user_id=by.pk).exclude(role=Role.ANNOTATOR).exists()


def _known_task(project: Project, by: User, drawn: random.Random) -> Assignment | None:
    """Open a check with a known order that this person has neither judged, practised, decided nor written for."""
    met = Assignment.objects.filter(Q(task=OuterRef("task")) | Q(task__repeat_of=OuterRef("task")), annotator_id=by.pk)
    decided = Q(marked_by_id=by.pk) | Q(task__adjudications__adjudicated_by_id=by.pk)
    gold = GoldAnswer.objects.filter(~Exists(met), ~Exists(_own_text(by)), task__project=project).exclude(decided)
    tasks = list(gold.order_by("id").values_list("task_id", flat=True))
    if not tasks:
        return None
    return open_check(task=Task.objects.get(pk=drawn.choice(tasks)), purpose=Purpose.GOLD, by=by)


def _own_text(by: User) -> QuerySet[Candidate]:
    return Candidate.objects.filter(task=OuterRef("task"), completion__author_id=by.pk)


def _repeat(project: Project, by: User, drawn: random.Random) -> Assignment | None:
    """Open a check that repeats a ranking or unary task of this person's, once, in the reverse of the order shown."""
    kinds = ["ranking", "unary"]
    judged = Assignment.objects.judged().filter(project=project, annotator_id=by.pk, task__kind__in=kinds)
    latest = list(
        judged.order_by("-finished_at").values_list("finished_at", flat=True)[REPEAT_AFTER - 1 : REPEAT_AFTER]
    )
    if not latest:
        return None
    repeated = Assignment.objects.filter(
        task__repeat_of=OuterRef("task"), task__purpose=Purpose.REPEAT, annotator_id=by.pk
    )
    known = judged.filter(~Exists(repeated), task__purpose=Purpose.WORK, finished_at__lt=latest[-1])
    seats = list(known.order_by("id").values_list("id", flat=True))
    if not seats:
        return None
    first = Assignment.objects.select_related("task").get(pk=drawn.choice(seats))
    return open_check(task=first.task, purpose=Purpose.REPEAT, by=by, shown=first.shown_order[::-1])


def open_check(*, task: Task, purpose: Purpose, by: User, shown: list[int] | None = None) -> Assignment:
    """Create a task that repeats `task` for one person and return its assignment, held. Call it in a transaction."""
    now = clock.now()
    copy = Task.objects.create(
        project_id=task.project_id,
        prompt_id=task.prompt_id,
        kind=task.kind,
        priority=task.priority,
        purpose=purpose,
        repeat_of=task,
    )
    completions = list(Candidate.objects.filter(task=task).order_by("id").values_list("completion_id", flat=True))
    Candidate.objects.bulk_create([Candidate(task=copy, completion_id=pk) for pk in completions])
    if shown is None:
        shown = completions
        dice("shown order of a check", copy.pk).shuffle(shown)
    return Assignment.objects.create(
        task=copy,
        seat_number=1,
        project_id=task.project_id,
        priority=task.priority,
        status=SeatStatus.HELD,
        annotator_id=by.pk,
        claimed_at=now,
        expires_at=lease_end(task.project),
        shown_order=shown,
    )
