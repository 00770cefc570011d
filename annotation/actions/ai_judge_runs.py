"""What a worker does with the runs of AI judges: choose pairs, ask, store what comes back.

A run that is cut off goes on with the pairs that are open: each pair is a row from the start, and is settled once. Only
the worker whose attempt it is settles pairs of a run.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import combinations, groupby
from operator import itemgetter

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q
from django.utils.translation import gettext_noop

from annotation import clock, live
from annotation.actions.ai_judge_audits import audit_next, look_again
from annotation.judging.asking import JudgedPair, JudgeSettings, PairAsker, PairPool, PairVerdict
from annotation.model_server import ServerProblem
from annotation.models import (
    AIJudgeRun,
    AIJudgeRunStatus,
    AIJudgment,
    Assignment,
    Candidate,
    Completion,
    Purpose,
    Task,
)
from annotation.models.claim import in_turn
from annotation.quality.calibration import ALL_PAIRS, calibration, slices_of
from annotation.quality.drift import PairIds, audit_pairs, drawn, is_audited
from annotation.quality.final import final_choices, pairs_of
from annotation.quality.judge_trust import MAYBE_WORSE, rows_of

logger = logging.getLogger(__name__)

WORKS_FOR_SECONDS = 60.0  # then other runs that wait have their turn
PAIRS_AT_ONCE = 64  # that are read from the database; a text that is withdrawn then is asked about no more
BEATS_EVERY_SECONDS = 2.0  # it is also how soon a worker learns that a run is cancelled
MOST_ODD = 24  # pairs one after another without a verdict: the server's model is no judge
ASKED_TWICE = 10  # every so many pairs one is asked twice
NOTHING_TO_JUDGE = gettext_noop(
    "No pair is left to judge: a judge is compared with rankings of people that can no longer be undone."
)
NOTHING_TO_TAKE_OVER = gettext_noop("No pair of this slice is left that nobody has judged.")
TEXTS_WITHDRAWN = gettext_noop("Pairs of prompts or responses that were withdrawn were left out.")


class RunOvertaken(Exception):
    """The run is another worker's now, or was cancelled."""


def never() -> bool:
    return False


def work_next(stopping: Callable[[], bool] = never) -> bool:
    """Work a minute at most on one run that waits, or look at a takeover; return False where there is neither."""
    now = clock.now()
    lost_after = timedelta(seconds=settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS)
    lost = Q(status=AIJudgeRunStatus.RUNNING, heartbeat_at__lt=now - lost_after)
    waiting = AIJudgeRun.objects.filter(lost | Q(status=AIJudgeRunStatus.QUEUED))
    turn = waiting.order_by(F("heartbeat_at").asc(nulls_first=True), "pk")
    run = turn.claim(status=AIJudgeRunStatus.RUNNING, heartbeat_at=now)
    if run is None:
        return audit_next()
    try:
        _work(run, stopping)
    except RunOvertaken:
        logger.info("%s was stopped or taken over", run)
    except ServerProblem as problem:
        _end(run, AIJudgeRunStatus.FAILED, str(problem))
    except Exception as problem:
        logger.exception("%s failed", run)
        _end(run, AIJudgeRunStatus.FAILED, type(problem).__name__)  # its message, which may hold a text, is in the log
    return True


def _work(run: AIJudgeRun, stopping: Callable[[], bool]) -> None:
    if not in_turn(run.attempt):
        _end(run, AIJudgeRunStatus.FAILED, "The worker went away several times in this run.")
        return
    if not run.planned and not _plan(run):
        _end(run, AIJudgeRunStatus.FAILED, NOTHING_TO_TAKE_OVER if run.takeover else NOTHING_TO_JUDGE)
        return
    version = run.version
    asker = PairAsker(
        JudgeSettings(version.server, version.model, version.rubric, version.temperature, version.max_tokens),
        os.environ,
    )
    # A pair that the server always fails at would else end the run again and again, where it is among the first.
    asker.client.has_answered = run.resumed_at is not None or run.judgments.usable().exists()
    until = time.monotonic() + WORKS_FOR_SECONDS
    while pairs := list(_open_pairs(run)):
        if stopping() or time.monotonic() > until:
            _put_back(run)
            return
        if not _ask(run, PairPool(asker, pairs), stopping):
            _put_back(run)
            return
    if run.audit_of is not None:
        look_again(run.audit_of)
    _end(run, AIJudgeRunStatus.DONE, TEXTS_WITHDRAWN if run.judgments.waiting().exists() else "")


def _ask(run: AIJudgeRun, pool: PairPool, stopping: Callable[[], bool]) -> bool:
    """Store the answers of a pool as they come; return False where the worker is to stop."""
    odd = _odd_in_a_row(run)
    try:
        for result in pool.results(BEATS_EVERY_SECONDS):
            if result is None:
                _beat(run)
            else:
                pair, said = result
                _store(run, pair, said)
                odd = odd + 1 if said.choice is None else 0
                if odd >= MOST_ODD:
                    url = pool.asker.client.url
                    raise ServerProblem(f"{url} has given no verdict in {MOST_ODD} pairs: {said.problem}")
            if stopping():
                return False
    finally:
        pool.stop()
    return True


def _odd_in_a_row(run: AIJudgeRun) -> int:
    """Return how many pairs had no verdict since the run's last one, or since it was resumed."""
    verdict_at = run.judgments.usable().aggregate(last=Max("settled_at"))["last"]
    odd = run.judgments.exclude(problem="")
    for since in (verdict_at, run.resumed_at):
        if since is not None:
            odd = odd.filter(settled_at__gt=since)
    return odd.count()


@transaction.atomic
def _store(run: AIJudgeRun, pair: JudgedPair, said: PairVerdict) -> None:
    _beat(run)
    is_usable = said.choice is not None
    AIJudgment.objects.filter(pk=pair.pk, settled_at=None).update(
        forward=said.forward,
        backward=said.backward,
        choice=said.choice,
        problem="" if is_usable else said.problem,
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
    AIJudgeRun.objects.still_ours(run).queue(heartbeat_at=clock.now())


def _end(run: AIJudgeRun, status: AIJudgeRunStatus, error: str) -> None:
    AIJudgeRun.objects.still_ours(run).update(status=status, error=error[:2000], finished_at=clock.now())
    live.announce(run.version.judge.project_id, "queue")


def _open_pairs(run: AIJudgeRun) -> Iterator[JudgedPair]:
    """Yield some pairs that are open, with their texts. Those with a text that is withdrawn by now stay open."""
    in_use = {"task__prompt__withdrawn_at": None, "first__withdrawn_at": None, "second__withdrawn_at": None}
    rows = run.judgments.waiting().filter(**in_use).select_related("task__prompt", "first", "second").order_by("pk")
    for row in rows[:PAIRS_AT_ONCE]:
        assert row.task.prompt is not None
        yield JudgedPair(row.pk, row.task.prompt.messages, row.first.text, row.second.text, row.repeat)


@transaction.atomic
def _plan(run: AIJudgeRun) -> int:
    """Choose the run's pairs and store them as open; return how many. Raises RunOvertaken."""
    if run.audit_of is None:
        # Only one run of a version is active: pairs that another has left open would be nobody's.
        run.version.judgments.waiting().exclude(run=run).delete()
    asked = set(run.version.judgments.filter(repeat=0).values_list("task_id", "first_id", "second_id"))
    is_calibration = run.audit_of is None and not run.takeover
    pairs: Iterable[PairIds]
    if run.audit_of is not None:
        pairs = audit_pairs(run.audit_of)
    else:
        pairs = _unjudged_pairs(run) if run.takeover else _judged_pairs(run)
    rows: list[AIJudgment] = []
    for place, (task, first, second) in enumerate(pair for pair in pairs if pair not in asked):
        if len(rows) >= run.most_pairs:
            break
        is_twice = is_calibration and place % ASKED_TWICE == 0 and len(rows) + 1 < run.most_pairs
        for repeat in range(1 + is_twice):
            ids = {"task_id": task, "first_id": first, "second_id": second}
            rows.append(AIJudgment(run=run, version=run.version, repeat=repeat, **ids))
    if not AIJudgeRun.objects.still_ours(run).update(planned=bool(rows), heartbeat_at=clock.now()):
        raise RunOvertaken
    AIJudgment.objects.bulk_create(rows, batch_size=1000)
    return len(rows)


def _judged_pairs(run: AIJudgeRun) -> list[PairIds]:
    """Return the pairs that people judged, as (task, first, second), in the order in which a calibration asks.

    Tasks that two people judged come first: there people's agreement with each other is known. Among them one pair of
    each task comes before a second one, as pairs of one prompt tell less than those of two.
    """
    version, project = run.version, run.version.judge.project
    withdrawn = set(Completion.objects.filter(project=project).exclude(withdrawn_at=None).values_list("pk", flat=True))
    order: list[tuple[bool, int, str, PairIds]] = []
    for task in final_choices(project).values():
        pairs = [pair for pair in pairs_of(task) if not withdrawn.intersection(pair)]
        pairs.sort(key=lambda pair: drawn(version.pk, task.pk, *pair))
        for rank, (first, second) in enumerate(pairs):
            order.append((len(task.choices) < 2, rank, drawn(version.pk, task.pk), (task.pk, first, second)))
    return [pair for *_, pair in sorted(order)]


def _unjudged_pairs(run: AIJudgeRun) -> Iterator[PairIds]:
    """Yield the pairs of tasks that nobody has judged, as far as they are of the run's slice, task by task.

    Left to people are tasks that every annotator gets, pairs that are also of a slice on which the judge may be worse
    or that was taken back, and the audit share, which is drawn by a hash.
    """
    project = run.version.judge.project
    figures = calibration(run.version)
    if ALL_PAIRS in figures.taken_back:
        return
    worse = {(row.dimension, row.value) for row in rows_of(figures) if row.trust.why == MAYBE_WORSE}
    worse |= figures.taken_back
    judged = Assignment.objects.judged().filter(task=OuterRef("pk"))
    open_tasks = Task.objects.filter(
        ~Exists(judged), project=project, kind="ranking", purpose=Purpose.WORK, calibration=False
    ).filter(prompt__withdrawn_at=None)
    texts = Candidate.objects.filter(task__in=open_tasks.values("pk"), completion__withdrawn_at=None)
    columns = ("task_id", "completion_id", "completion__text", "task__prompt__category", "task__prompt__messages")
    rows = texts.order_by("-task__priority", "task_id", "completion_id").values_list(*columns).iterator(2000)
    for task, candidates in groupby(rows, key=itemgetter(0)):
        if is_audited(run, task):
            continue
        for one, two in combinations(candidates, 2):
            longest = max(len(one[2]), len(two[2]))
            slices = slices_of(one[3], str(one[4][-1]["content"]), longest)
            if worse.isdisjoint(slices) and (not run.dimension or (run.dimension, run.value) in slices):
                yield task, one[1], two[1]
