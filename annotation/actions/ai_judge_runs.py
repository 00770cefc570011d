"""What a worker does with the runs of AI judges: choose pairs, ask, store what comes back.

A run that is cut off goes on with the pairs that are open: each pair is a row from the start, and is settled once. Only
the worker whose attempt it is settles pairs of a run.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils.translation import gettext_noop

from annotation import clock, live
from annotation.judging.asking import JudgedPair, JudgeSettings, PairAsker, PairPool, PairVerdict
from annotation.model_server import ServerProblem
from annotation.models import AIJudgeRun, AIJudgeRunStatus, AIJudgment, Completion
from annotation.quality.final import final_choices, pairs_of

logger = logging.getLogger(__name__)

WORKS_FOR_SECONDS = 60.0  # then other runs that wait have their turn
PAIRS_AT_ONCE = 64  # that are read from the database
BEATS_EVERY_SECONDS = 2.0  # it is also how soon a worker learns that a run is cancelled
MOST_ATTEMPTS_IN_VAIN = 3
MOST_ODD = 24  # pairs with not one verdict among them: the server's model is no judge
ASKED_TWICE = 10  # every so many pairs one is asked twice
NOTHING_TO_JUDGE = gettext_noop(
    "No pair is left to judge: a judge is compared with rankings of people that can no longer be undone."
)


class RunOvertaken(Exception):
    """The run is another worker's now, or was cancelled."""


def never() -> bool:
    return False


def work_next(stopping: Callable[[], bool] = never) -> bool:
    """Work a minute at most on one run that waits; return False where none does."""
    now = clock.now()
    lost_after = timedelta(seconds=settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS)
    lost = Q(status=AIJudgeRunStatus.RUNNING, heartbeat_at__lt=now - lost_after)
    waiting = AIJudgeRun.objects.filter(lost | Q(status=AIJudgeRunStatus.QUEUED))
    turn = waiting.order_by(F("heartbeat_at").asc(nulls_first=True), "pk")
    run = turn.claim(status=AIJudgeRunStatus.RUNNING, heartbeat_at=now)
    if run is None:
        return False
    try:
        _work(run, stopping)
    except RunOvertaken:
        logger.info("%s was stopped or taken over", run)
    except ServerProblem as problem:
        _end(run, AIJudgeRunStatus.FAILED, str(problem))
    except Exception as problem:
        logger.exception("%s failed", run)
        _end(run, AIJudgeRunStatus.FAILED, f"{type(problem).__name__}: {problem}")
    return True


def _work(run: AIJudgeRun, stopping: Callable[[], bool]) -> None:
    if run.attempt > MOST_ATTEMPTS_IN_VAIN:
        _end(run, AIJudgeRunStatus.FAILED, "The worker went away several times in this run.")
        return
    if not run.planned and not _plan(run):
        _end(run, AIJudgeRunStatus.FAILED, NOTHING_TO_JUDGE)
        return
    version = run.version
    asker = PairAsker(
        JudgeSettings(version.server, version.model, version.rubric, version.temperature, version.max_tokens),
        os.environ,
    )
    until = time.monotonic() + WORKS_FOR_SECONDS
    while pairs := list(_open_pairs(run)):
        if stopping() or time.monotonic() > until:
            _put_back(run)
            return
        if not _ask(run, PairPool(asker, pairs), stopping):
            _put_back(run)
            return
    _end(run, AIJudgeRunStatus.DONE, "")


def _ask(run: AIJudgeRun, pool: PairPool, stopping: Callable[[], bool]) -> bool:
    """Store the answers of a pool as they come; return False where the worker is to stop."""
    try:
        for result in pool.results(BEATS_EVERY_SECONDS):
            if result is None:
                _beat(run)
            else:
                _store(run, *result)
            if stopping():
                return False
    finally:
        pool.stop()
    usable = run.judgments.usable().exists()
    if not usable and run.judgments.exclude(settled_at=None).count() >= MOST_ODD:
        last = run.judgments.exclude(problem="").order_by("-settled_at").first()
        reason = last.problem if last else ""
        raise ServerProblem(f"{pool.asker.client.url} has given no verdict in {MOST_ODD} pairs: {reason}")
    return True


@transaction.atomic
def _store(run: AIJudgeRun, pair: JudgedPair, said: PairVerdict) -> None:
    _beat(run)
    is_usable = said.choice is not None
    AIJudgment.objects.filter(pk=pair.pk, settled_at=None).update(
        forward=said.forward,
        backward=said.backward,
        choice=said.choice,
        problem="" if is_usable else said.problem,
        reasons=said.reasons,
        input_tokens=said.input_tokens,
        output_tokens=said.output_tokens,
        settled_at=clock.now(),
    )


def _beat(run: AIJudgeRun) -> None:
    if not AIJudgeRun.objects.still_ours(run).update(heartbeat_at=clock.now()):
        raise RunOvertaken
    live.announce(run.version.judge.project_id, "queue")


def _put_back(run: AIJudgeRun) -> None:
    """Let another run, or another worker, have its turn. What this attempt did counts: it was not in vain."""
    AIJudgeRun.objects.still_ours(run).update(status=AIJudgeRunStatus.QUEUED, attempt=0, heartbeat_at=clock.now())


def _end(run: AIJudgeRun, status: AIJudgeRunStatus, error: str) -> None:
    AIJudgeRun.objects.still_ours(run).update(status=status, error=error[:2000], finished_at=clock.now())
    live.announce(run.version.judge.project_id, "queue")


def _open_pairs(run: AIJudgeRun) -> Iterator[JudgedPair]:
    """Yield some pairs that are open, with their texts."""
    rows = run.judgments.waiting().select_related("task__prompt", "first", "second").order_by("pk")
    for row in rows[:PAIRS_AT_ONCE]:
        assert row.task.prompt is not None
        yield JudgedPair(row.pk, row.task.prompt.messages, row.first.text, row.second.text, row.repeat)


@transaction.atomic
def _plan(run: AIJudgeRun) -> int:
    """Choose the run's pairs and store them as open; return how many. Raises RunOvertaken.

    Tasks that two people judged come first: there people's agreement with each other is known. Among them one pair of
    each task comes before a second one, as pairs of one prompt tell less than those of two.
    """
    version = run.version
    asked = set(version.judgments.filter(repeat=0).values_list("task_id", "first_id", "second_id"))
    project = version.judge.project
    withdrawn = set(Completion.objects.filter(project=project).exclude(withdrawn_at=None).values_list("pk", flat=True))
    order: list[tuple[bool, int, str, tuple[int, int, int]]] = []
    for task in final_choices(project).values():
        pairs = [pair for pair in pairs_of(task) if not withdrawn.intersection(pair)]
        pairs.sort(key=lambda pair: _drawn(version.pk, task.pk, *pair))
        for rank, (first, second) in enumerate(pairs):
            if (task.pk, first, second) not in asked:
                key = (len(task.choices) < 2, rank, _drawn(version.pk, task.pk))
                order.append((*key, (task.pk, first, second)))
    order.sort()
    rows: list[AIJudgment] = []
    for place, (*_, (task_pk, first, second)) in enumerate(order):
        if len(rows) >= run.most_pairs:
            break
        for repeat in range(2 if place % ASKED_TWICE == 0 and len(rows) + 1 < run.most_pairs else 1):
            rows.append(
                AIJudgment(run=run, version=version, task_id=task_pk, first_id=first, second_id=second, repeat=repeat)
            )
    if not AIJudgeRun.objects.still_ours(run).update(planned=bool(rows), heartbeat_at=clock.now()):
        raise RunOvertaken
    AIJudgment.objects.bulk_create(rows, batch_size=1000)
    return len(rows)


def _drawn(*numbers: int) -> str:
    """Return a hash by which things are put in an order that is chance, and the same each time."""
    return hashlib.sha256(" ".join(map(str, numbers)).encode()).hexdigest()
