"""Opening the blind comparisons of an evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from annotation import audit, live
from annotation.actions import coverage, tasks
from annotation.blinding import BlindCheck
from annotation.models import AuditAction, Comparison, Completion, Evaluation, PolicyVersion, Project, Purpose
from annotation.opaque import dice

PRIORITY = 1000  # before all other work: an evaluation is short, and the next round waits for its result
NAMES_ITS_MODEL = "a response names its model"
EMPTY = "a response is empty"


@transaction.atomic
def open_evaluation(
    *,
    version: PolicyVersion,
    opponent: PolicyVersion | None,
    pairs: Sequence[tuple[Completion, Completion]],
    seats: int,
    seed: int,
    origin: str,
    sampling: dict[str, Any],
    left_out: Counter[str],
    by: User | None,
    check: BlindCheck | None = None,
) -> Evaluation:
    """Create and return an evaluation with a task for each pair of different answers, the version's and the opponent's.

    In half of the tasks the first seat sees the version's answer first; which half is drawn from `seed`. `check` has
    read the answers before the transaction.
    """
    project = Project.objects.select_for_update().get(pk=version.project_id)
    left_out = Counter(left_out)
    evaluation = Evaluation.objects.create(
        project=project,
        number=project.evaluations.next_number(),
        version=version,
        opponent=opponent,
        origin=origin,
        seats=seats,
        sampling=sampling,
        created_by_id=by.pk if by else None,
    )
    may_be_blind = check or BlindCheck(project)
    kept = [pair for pair in pairs if all(may_be_blind(completion.text) for completion in pair)]
    empty = sum(not all(completion.text.strip() for completion in pair) for pair in pairs)
    left_out += Counter({EMPTY: empty, NAMES_ITS_MODEL: len(pairs) - len(kept) - empty})  # reasons of none drop out
    firsts = [place % 2 == 0 for place in range(len(kept))]
    dice("evaluation", project.pk, seed).shuffle(firsts)
    for (answer, other), first in zip(kept, firsts, strict=True):
        _open_comparison(evaluation, answer, other, version_first=first)
    Evaluation.objects.filter(pk=evaluation.pk).update(left_out=dict(left_out))
    live.announce(project.pk, "queue")
    return evaluation


def _open_comparison(evaluation: Evaluation, answer: Completion, other: Completion, *, version_first: bool) -> None:
    """Store a pair, and open a task for it unless its answers are equal, which counts as a tie."""
    identical = answer.text.strip() == other.text.strip()
    task = None
    if not identical:
        task = tasks.open_task(
            prompt=answer.prompt,
            kind="ranking",
            candidates=[answer, other],
            seats=evaluation.seats,
            priority=PRIORITY,
            origin=evaluation.origin,
            purpose=Purpose.EVALUATION,
        )
    Comparison.objects.create(
        evaluation=evaluation,
        prompt=answer.prompt,
        answer=answer,
        other=other,
        version_first=version_first,
        identical=identical,
        task=task,
    )


def close_evaluation(*, evaluation: Evaluation) -> int:
    """Delete the empty seats and return how many. What is judged counts, and what is held may be submitted."""
    tasks = evaluation.comparisons.exclude(task=None).values_list("task_id", flat=True)
    with transaction.atomic():
        closed = coverage.close_empty_seats(project=evaluation.project, tasks=list(tasks))
        audit.record(AuditAction.EVALUATION_CLOSED, project=evaluation.project, what=str(evaluation), seats=closed)
    return closed
