"""Practice: a new annotator judges tasks whose outcome is known, sees where they differ, and goes on to the queue.

The outcome is an order of responses, or whether the only response is good, which counts as one pair.

A round is one attempt at all practice tasks and ends with the last of them. A person who has passed stays passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.translation import gettext

from annotation import clock
from annotation.actions import checks
from annotation.errors import NotPossible
from annotation.models import (
    Assignment,
    Candidate,
    GoldAnswer,
    Membership,
    PracticeRound,
    Project,
    Purpose,
    Ranking,
    Role,
    UnaryJudgment,
)
from annotation.quality.agreement import agreed, choices, verdict

Practised = Ranking | UnaryJudgment


class PractiseFirst(NotPossible):
    """The queue opens after the practice round."""


def tasks_for(project: Project, user: User) -> QuerySet[GoldAnswer]:
    """Return the practice tasks, without those that show an answer of this person's own."""
    own_text = Candidate.objects.filter(task=OuterRef("task"), completion__author_id=user.pk)
    return GoldAnswer.objects.filter(~Exists(own_text), task__project=project, practice=True).order_by("id")


def require(project: Project, user: User) -> None:
    """Raise PractiseFirst where this person has to practise before they work."""
    if not project.practice_first:
        return
    new = project.memberships.filter(user_id=user.pk, role=Role.ANNOTATOR, practice_passed_at=None)
    if new.exists() and tasks_for(project, user).exists():
        raise PractiseFirst("This project has practice tasks for new annotators. The queue opens once you have passed.")


def next_assignment(*, project: Project, by: User) -> Assignment:
    """Return the practice assignment to go on with; start a round where none is open."""
    try:
        with transaction.atomic():
            Membership.objects.select_for_update().get(project=project, user_id=by.pk)  # two tabs take turns
            held = Assignment.objects.held().filter(project=project, annotator_id=by.pk)
            if assignment := held.first():
                return assignment
            round, _ = PracticeRound.objects.get_or_create(project=project, annotator_id=by.pk, finished_at=None)
            waiting = remaining(round).first()
            if waiting is None:
                raise NotPossible(gettext("This project has no practice tasks."))
            return checks.open_check(task=waiting.task, purpose=Purpose.PRACTICE, by=by)
    except IntegrityError as conflict:
        raise NotPossible(gettext("Practice was started in another tab. Reload this page.")) from conflict


def answers(round: PracticeRound) -> list[Practised]:
    """Return what the person has submitted in this round, the newest last."""
    return sorted(
        (each for model in (Ranking, UnaryJudgment) for each in _given(round, model._default_manager.all())),
        key=lambda each: (each.created_at, each.assignment_id),
    )


def _given(round: PracticeRound, rows: QuerySet[Any]) -> QuerySet[Any]:
    given = rows.filter(
        assignment__project_id=round.project_id,
        assignment__annotator_id=round.annotator_id,
        assignment__task__purpose=Purpose.PRACTICE,
        assignment__claimed_at__gte=round.started_at,
    )
    if round.finished_at:
        given = given.filter(assignment__claimed_at__lte=round.finished_at)
    return given.select_related("assignment__task")


def remaining(round: PracticeRound) -> QuerySet[GoldAnswer]:
    """Return the practice tasks that this round still lacks, skipped ones among them."""
    done = [each.assignment.task.repeat_of_id for each in answers(round)]
    return tasks_for(round.project, round.annotator).exclude(task__in=done).select_related("task__project")


def settle(*, assignment: Assignment) -> None:
    """Finish the round with its last answer, and pass the person if they agree often enough.

    Called inside the transaction that stores the judgment.
    """
    if assignment.task.purpose != Purpose.PRACTICE:
        return
    round = PracticeRound.objects.filter(
        project_id=assignment.project_id, annotator_id=assignment.annotator_id, finished_at=None
    ).first()
    if round is None or remaining(round).exists():
        return
    results = [feedback(answer) for answer in answers(round)]
    same, pairs = sum(row.agreed for row in results), sum(row.pairs for row in results)
    passed = bool(pairs) and same >= round.project.practice_pass * pairs
    now = clock.now()
    finished = PracticeRound.objects.filter(pk=round.pk, finished_at=None).update(
        finished_at=now, agreed=same, pairs=pairs, passed=passed
    )
    if finished and passed:
        Membership.objects.filter(
            project_id=round.project_id, user_id=round.annotator_id, practice_passed_at=None
        ).update(practice_passed_at=now)


@dataclass(frozen=True)
class PracticeFeedback:
    """One practice answer beside the known order. `differs` are pairs (a, b): a is known to be at least as good."""

    answer: Practised
    gold: GoldAnswer | None
    agreed: int = 0
    pairs: int = 0
    differs: tuple[tuple[int, int], ...] = ()


def feedback(answer: Practised) -> PracticeFeedback:
    """Return a practice answer compared with the known outcome of its task."""
    gold = GoldAnswer.objects.filter(task=answer.assignment.task.repeat_of_id).first()
    if gold is None:  # taken off the list meanwhile: it counts for nothing
        return PracticeFeedback(answer, None)
    if isinstance(answer, UnaryJudgment):
        same, pairs = agreed(verdict(answer.good), verdict(not gold.unacceptable))
        return PracticeFeedback(answer, gold, same, pairs)
    mine, known = choices(answer.tiers, answer.unranked), choices(gold.tiers)
    same, pairs = agreed(mine, known)
    differs = tuple(
        pair if known[pair] >= 0 else pair[::-1] for pair in known if pair in mine and mine[pair] != known[pair]
    )
    return PracticeFeedback(answer, gold, same, pairs, differs)
