"""Opening tasks: which answers stand beside each other, and how many seats there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction

from annotation.actions import coverage
from annotation.blinding import BlindCheck
from annotation.models import (
    Assignment,
    Candidate,
    Completion,
    PolicyVersion,
    Project,
    Prompt,
    Purpose,
    Source,
    Task,
)
from annotation.opaque import dice

AT_ONCE = 500


@transaction.atomic
def open_task(
    *,
    prompt: Prompt,
    kind: str,
    candidates: Iterable[Completion],
    seats: int,
    priority: int = 0,
    origin: str = "",
    calibration: bool = False,
    place: int = 0,
    purpose: Purpose = Purpose.WORK,
    can_be_undone: bool = True,
) -> Task:
    """Create and return a task with its frozen candidates and its empty seats."""
    task = Task.objects.create(
        project_id=prompt.project_id,
        prompt=prompt,
        kind=kind,
        seats=seats,
        planned_seats=seats,
        priority=priority,
        origin=origin,
        calibration=calibration,
        place=place,
        purpose=purpose,
        can_be_undone=can_be_undone,
    )
    Candidate.objects.bulk_create([Candidate(task=task, completion=completion) for completion in candidates])
    Assignment.objects.bulk_create(
        [
            Assignment(task=task, seat_number=number, project_id=prompt.project_id, priority=priority)
            for number in range(1, seats + 1)
        ]
    )
    return task


@transaction.atomic
def open_tasks(*, project: Project, wanted: Sequence[tuple[Prompt, Sequence[Completion]]], origin: str) -> int:
    """Create the tasks over the candidates of each prompt, with the project's number of empty seats; return how many.

    A prompt has a ranking task, or a unary task for each of its candidates.
    """
    seats = project.seats_per_task
    shown = [
        (prompt, kind, place, candidates)
        for prompt, responses in wanted
        for kind, place, candidates in divided(project, prompt.digest, responses)
    ]
    opened = Task.objects.bulk_create(
        [
            Task(
                project_id=project.pk,
                prompt=prompt,
                kind=kind,
                place=place,
                seats=seats,
                planned_seats=seats,
                origin=origin,
            )
            for prompt, kind, place, _ in shown
        ],
        batch_size=AT_ONCE,
    )
    Candidate.objects.bulk_create(
        [
            Candidate(task=task, completion=completion)
            for task, (*_, candidates) in zip(opened, shown, strict=True)
            for completion in candidates
        ],
        batch_size=AT_ONCE,
    )
    Assignment.objects.bulk_create(
        [
            Assignment(task=task, seat_number=number, project_id=project.pk, priority=task.priority)
            for task in opened
            for number in range(1, seats + 1)
        ],
        batch_size=AT_ONCE,
    )
    return len(opened)


def is_unary(project: Project, digest: str) -> bool:
    """Return whether the responses to a prompt are judged good or bad one at a time, and never ranked."""
    return _falls_under(project.unary_share, f"unary {digest}")


def divided(project: Project, digest: str, responses: Sequence[Any]) -> list[tuple[str, int, Sequence[Any]]]:
    """Return kind, place and responses of the tasks over the responses to one prompt: empty where they are too few.

    Unary tasks stand in a random order, the same each time: place, id and queue would tell the author otherwise.
    """
    if is_unary(project, digest):
        shown = list(responses)
        dice("unary order", digest).shuffle(shown)
        return [("unary", place, [response]) for place, response in enumerate(shown)]
    return [("ranking", 0, responses)] if len(responses) > 1 else []


def blind_candidates(
    completions: Iterable[Completion], project: Project, check: BlindCheck | None = None
) -> list[Completion]:
    """Return the answers that may stand in a blind task: of equal texts the first, and none that names its maker.

    Every blind task is opened over what this returns, wherever its answers come from. In a transaction `check` has
    read them before.
    """
    may_be_blind = check or BlindCheck(project)
    kept: dict[str, Completion] = {}
    for completion in completions:
        text = completion.text.strip()
        if text not in kept and may_be_blind(text):
            kept[text] = completion
    return list(kept.values())


@transaction.atomic
def open_tasks_for(
    *, policy: PolicyVersion, origin: str, people_share: float = 1.0, check: BlindCheck | None = None
) -> list[Task]:
    """Open tasks over the answers that run `origin` drew from `policy` and return them, each once.

    Each prompt becomes a ranking task of up to K distinct answers, in which for `people_share` of the prompts a
    reference answer that people wrote before takes part unmarked; for the project's share of prompts each of these
    answers becomes a unary task instead. A share of the prompts also becomes a reference task.
    `check` has read the answers before the transaction.
    """
    project = policy.project
    check = check or BlindCheck(project)
    already = set(Task.objects.filter(origin=origin).values_list("prompt_id", flat=True))
    prompts = project.prompts.in_force().filter(completions__origin=origin).exclude(pk__in=already).distinct()
    tasks = []
    for prompt in prompts.prefetch_related("completions"):
        with_people = _falls_under(people_share, f"people {origin} {prompt.digest}")
        candidates = choose_candidates(
            prompt, project.candidates_per_task, origin=origin, with_people=with_people, check=check
        )
        shown = divided(project, prompt.digest, candidates)
        if not shown:
            continue
        calibration = coverage.is_calibration(prompt, project)
        # Newer policies come first: their answers are the most informative about the current policy.
        tasks += [
            open_task(
                prompt=prompt,
                kind=kind,
                candidates=responses,
                place=place,
                priority=policy.number,
                origin=origin,
                seats=coverage.planned_seats(project, calibration=calibration),
                calibration=calibration,
            )
            for kind, place, responses in shown
        ]
        if _asks_for_reference(prompt, project, policy):
            tasks.append(
                open_task(
                    prompt=prompt,
                    kind="reference",
                    candidates=candidates,
                    seats=1,
                    priority=policy.number,
                    origin=origin,
                )
            )
    return tasks


def choose_candidates(
    prompt: Prompt, wanted: int, *, origin: str, with_people: bool = True, check: BlindCheck | None = None
) -> list[Completion]:
    """Return at most one reference answer, then as many of the run's answers as fit; of equal texts the first.

    Which of the run's answers are left out is random, so that the authors keep their shares. Texts that a reviewer
    withdrew are left out, also where another author wrote the same.
    """
    withdrawn = {c.text.strip() for c in prompt.completions.all() if c.withdrawn_at}
    there = [c for c in prompt.completions.all() if c.text.strip() not in withdrawn]
    # Answers that were imported to be ranked, or in a pair, have an origin; a reference answer has none.
    references = [c for c in there if c.source != Source.POLICY and not c.origin]
    drawn = [c for c in there if c.origin == origin]
    dice("candidates", origin, prompt.digest).shuffle(drawn)
    return blind_candidates([*(references[-1:] if with_people else ()), *drawn], prompt.project, check)[:wanted]


def _asks_for_reference(prompt: Prompt, project: Project, policy: PolicyVersion) -> bool:
    """Return whether the prompt also becomes a reference task: by prompt and version, so a repeat decides alike."""
    return _falls_under(project.reference_share, f"{prompt.digest}:{policy.number}")


def _falls_under(share: float, name: str) -> bool:
    """Return True for that share of names, and always the same for one name; annotators cannot tell which."""
    return dice("share", name).random() < share
