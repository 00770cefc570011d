"""The judgments that count: which of a project's rankings, unary judgments, references and imported pairs go into a
file, and why not.

Read in batches of plain values, so that memory stays flat however many there are.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby, islice
from operator import attrgetter
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Subquery

from annotation.judged.counted import IMPORTED, CountedJudgment, Filter, JudgedCandidate, JudgedTask
from annotation.judged.decisions import Decisions
from annotation.judged.end_users import thumbs_of_end_users
from annotation.models import (
    AIJudgment,
    Candidate,
    Completion,
    ImportedJudgment,
    Label,
    Project,
    Purpose,
    Ranking,
    ReferenceAnswer,
    Source,
    Split,
    Task,
    UnaryJudgment,
    Withdrawal,
)
from annotation.stats.unpaired import ACCEPTABLE

TASKS_AT_ONCE = 500
# Columns of a ranking, in the order of Judgment's fields.
SAID = (
    "tiers",
    "unacceptable",
    "assignment__annotator_id",
    "created_at",
    "unranked",
    "strength",
    "ratings",
)
CIRCUMSTANCES = ("assignment__shown_order", "assignment__active_ms", "rationale", "assignment__claimed_at")


def rankings_that_count(project: Project, purpose: Purpose = Purpose.WORK) -> QuerySet[Ranking]:
    """Return a project's rankings of work without withdrawn ones. Known tasks, repeats and practice are no votes."""
    work = Ranking.objects.filter(assignment__project=project, assignment__task__purpose=purpose)
    return work.exclude(Exists(_withdrawn("assignment__annotator")))


def references_that_count(project: Project) -> QuerySet[ReferenceAnswer]:
    """Return a project's reference answers without withdrawn ones."""
    return ReferenceAnswer.objects.filter(assignment__project=project).exclude(
        Exists(_withdrawn("assignment__annotator"))
    )


def labels_that_count(project: Project) -> QuerySet[Label]:
    """Return a project's labels without withdrawn ones."""
    work = Label.objects.filter(assignment__project=project, assignment__task__purpose=Purpose.WORK)
    return work.exclude(Exists(_withdrawn("assignment__annotator")))


def _withdrawn(annotator: str) -> QuerySet[Withdrawal]:
    return Withdrawal.objects.filter(
        project=OuterRef("assignment__project"), person=OuterRef(annotator), created_at__gte=OuterRef("created_at")
    )


def unary_that_count(project: Project) -> QuerySet[UnaryJudgment]:
    """Return a project's unary judgments of work without withdrawn ones."""
    work = UnaryJudgment.objects.filter(assignment__project=project, assignment__task__purpose=Purpose.WORK)
    return work.exclude(Exists(_withdrawn("assignment__annotator")))


def acceptability(pk: int, good: bool) -> dict[str, dict[str, float]]:
    """Return the rating of a response that is only called good or bad, as judgments from files have it."""
    return {str(pk): {ACCEPTABLE: float(good)}}


def of_unary(said: UnaryJudgment) -> CountedJudgment:
    """Return a unary judgment as a ranking of one response, with its rating as acceptable or not."""
    seat, (pk, *_) = said.assignment, said.assignment.shown_order
    return CountedJudgment(
        [[pk]],
        [] if said.good else [pk],
        seat.annotator_id,
        said.created_at,
        ratings=acceptability(pk, said.good),
        shown_order=seat.shown_order,
        active_ms=seat.active_ms,
        rationale=said.rationale,
        claimed_at=seat.claimed_at,
    )


@dataclass(frozen=True)
class _Kind:
    """A kind of task whose judgments go into files: its name, what snapshots call them, and the fewest candidates."""

    name: str
    plural: str
    without: str
    least: int


RANKINGS = _Kind("ranking", "rankings", "tasks without a ranking", 2)
UNARY = _Kind("unary", "unary annotations", "tasks without a unary annotation", 1)


@dataclass(frozen=True)
class _Reading:
    """What is read: judgments of a kind until `cutoff`, those that are asked for, and what is counted on the way."""

    project: Project
    cutoff: datetime
    wanted: Filter
    counts: Counter[str]
    decisions: Decisions
    circumstances: bool
    as_made: bool
    kind: _Kind


def judged_tasks(
    project: Project,
    cutoff: datetime,
    wanted: Filter,
    counts: Counter[str],
    decisions: Decisions,
    *,
    circumstances: bool = True,
    as_made: bool = False,
) -> Iterator[JudgedTask]:
    """Yield ranked tasks in order with their rankings until `cutoff`, then unary ones, then what was imported, then
    thumbs of end users where they are asked for.

    `circumstances`: with rationales, the order that was shown and times, which take a fifth of the reading.
    `as_made`: a reviewer's decision does not replace the judgments of its task.
    """
    for kind in (RANKINGS, UNARY):
        if wanted.wants(kind.name):
            yield from _judged(_Reading(project, cutoff, wanted, counts, decisions, circumstances, as_made, kind))
    # Imported judgments have no people or versions of this project: a filter by these leaves them out.
    if wanted.wants("imported") and not wanted.annotators and not wanted.policies:
        yield from _imported(project, cutoff, wanted, counts)
    if wanted.end_users:
        yield from thumbs_of_end_users(project, cutoff, wanted, counts)


def _judged(reading: _Reading) -> Iterator[JudgedTask]:
    kind, counts, wanted = reading.kind, reading.counts, reading.wanted
    tasks = Task.objects.filter(project=reading.project, kind=kind.name, purpose=Purpose.WORK).order_by("pk")
    columns = ("pk", "prompt_id", "prompt__messages", "prompt__split")
    last = 0
    while batch := list(tasks.filter(pk__gt=last).values_list(*columns)[:TASKS_AT_ONCE]):
        first, last = batch[0][0], batch[-1][0]
        answers = _answers(reading.project, kind, first, last)
        judgments = _judgments(reading, first, last)
        machine = _of_judge(reading, first, last) if wanted.judge and kind is RANKINGS else {}
        for pk, prompt_id, messages, split in batch:
            task = JudgedTask(pk, prompt_id, messages, split, answers[pk], judgments[pk])
            own = machine.get(pk, [])
            if not task.judgments and not own:
                counts[kind.without] += 1
            elif not (task := _decided(task, reading)).judgments and not own:
                counts[f"tasks whose {kind.plural} are all excluded"] += 1
            elif wanted.policies and task.policy not in wanted.policies:
                counts["tasks of other policy versions"] += 1
            elif kept := _kept(task, reading, own):
                whole = _without_erased(kept)
                if len(whole.answers) < kind.least:
                    counts["tasks whose answers were erased"] += 1
                    continue
                said = sum(bool(judgment.judge) for judgment in whole.judgments)
                counts[kind.plural] += len(whole.judgments) - said
                counts["AI judgments"] += said
                yield whole


def _without_erased(task: JudgedTask) -> JudgedTask:
    """Return the task without answers whose author had them erased; the order of the others stays."""
    erased = {pk for pk, answer in task.answers.items() if answer.source == Source.PERSON and not answer.text}
    if not erased:
        return task

    def left(pks: list[int]) -> list[int]:
        return [pk for pk in pks if pk not in erased]

    judgments = [
        replace(
            judgment,
            tiers=[kept for tier in judgment.tiers if (kept := left(tier))],
            unacceptable=left(judgment.unacceptable),
            unranked=left(judgment.unranked),
            shown_order=left(judgment.shown_order),
            ratings={pk: given for pk, given in judgment.ratings.items() if int(pk) not in erased},
        )
        for judgment in task.judgments
    ]
    answers = {pk: answer for pk, answer in task.answers.items() if pk not in erased}
    return replace(task, answers=answers, judgments=judgments)


def _decided(task: JudgedTask, reading: _Reading) -> JudgedTask:
    """Return the task with a reviewer's decision where one is in force, else without judgments of excluded people."""
    counts, decisions, plural = reading.counts, reading.decisions, reading.kind.plural
    if not reading.as_made and (order := decisions.decided.get(task.pk)):
        counts["adjudicated tasks"] += 1
        counts[f"{plural} replaced by an adjudication"] += len(task.judgments)
        by = order.adjudicated_by_id
        said = CountedJudgment(order.tiers, order.unacceptable, by, order.created_at, adjudicated=True)
        if reading.kind is UNARY:
            (pk,) = task.answers
            said = replace(said, ratings=acceptability(pk, pk not in order.unacceptable))
        return replace(task, judgments=[said])
    if not decisions.excluded:
        return task
    kept = [judgment for judgment in task.judgments if judgment.annotator not in decisions.excluded]
    counts[f"{plural} of excluded annotators"] += len(task.judgments) - len(kept)
    return replace(task, judgments=kept)


def _kept(task: JudgedTask, reading: _Reading, machine: list[CountedJudgment]) -> JudgedTask | None:
    """Return the task with the judgments that are asked for; None where none is left.

    Those of an AI judge stand beside people's; a reviewer's decision takes the place of both.
    """
    kept = []
    for judgment in task.judgments:
        if reason := reading.wanted.refusal(judgment.annotator, judgment.at):
            reading.counts[f"{reading.kind.plural} {reason}"] += 1
        else:
            kept.append(judgment)
    if machine and not any(judgment.adjudicated for judgment in task.judgments):
        kept += machine
    elif len(kept) == len(task.judgments):
        return task
    if not kept:
        return None
    return replace(task, judgments=kept)


def _answers(project: Project, kind: _Kind, first: int, last: int) -> dict[int, dict[int, JudgedCandidate]]:
    rows = (
        Candidate.objects.filter(task__project=project, task__gte=first, task__lte=last)
        .filter(task__kind=kind.name, task__purpose=Purpose.WORK)
        .order_by("completion_id")
        .values_list(
            "task_id",
            "completion_id",
            "completion__text",
            "completion__finished",
            "completion__policy__number",
            "completion__source",
        )
    )
    found: dict[int, dict[int, JudgedCandidate]] = defaultdict(dict)
    for task_id, pk, text, finished, policy, source in rows:
        found[task_id][pk] = JudgedCandidate(pk, text, finished, policy, source)
    return found


def _judgments(reading: _Reading, first: int, last: int) -> dict[int, list[CountedJudgment]]:
    tasks = {"assignment__task__gte": first, "assignment__task__lte": last, "created_at__lte": reading.cutoff}
    model = Ranking if reading.kind is RANKINGS else UnaryJudgment
    work = {"assignment__project": reading.project, "assignment__task__purpose": Purpose.WORK}
    everyone = model._default_manager.filter(**work, **tasks)
    found: dict[int, list[CountedJudgment]] = defaultdict(list)
    taken, decisions = 0, reading.decisions
    for task_id, judgment in (_rankings if reading.kind is RANKINGS else _unary)(reading, tasks):
        if decisions.weights:
            judgment = replace(judgment, weight=decisions.weight(judgment.annotator or 0))
        found[task_id].append(judgment)
        taken += 1
    reading.counts[f"{reading.kind.plural} that do not count"] += everyone.count() - taken
    return found


def _rankings(reading: _Reading, tasks: dict[str, Any]) -> Iterator[tuple[int, CountedJudgment]]:
    columns = SAID + CIRCUMSTANCES if reading.circumstances else SAID
    counting: QuerySet[Any] = rankings_that_count(reading.project).filter(**tasks).order_by("pk")
    for *said, task_id in counting.values_list(*columns, "assignment__task_id"):
        yield task_id, CountedJudgment(*said)


def _unary(reading: _Reading, tasks: dict[str, Any]) -> Iterator[tuple[int, CountedJudgment]]:
    counting = unary_that_count(reading.project).filter(**tasks).order_by("pk").select_related("assignment")
    for said in counting:
        yield said.assignment.task_id, of_unary(said)


def _of_judge(reading: _Reading, first: int, last: int) -> dict[int, list[CountedJudgment]]:
    """Return what the wanted version of an AI judge said, by task: each pair is a ranking of two.

    Tasks of held-out prompts have none, so that what is measured on them is measured on people's judgments.
    """
    wanted, cutoff = reading.wanted, reading.cutoff
    rows = AIJudgment.objects.usable().filter(
        version=wanted.judge,
        version__judge__project=reading.project,
        task__gte=first,
        task__lte=last,
        task__prompt__split=Split.TRAIN,
        repeat=0,
        settled_at__lte=min(wanted.until or cutoff, cutoff),
    )
    if wanted.since:
        rows = rows.filter(settled_at__gte=wanted.since)
    columns = ("task_id", "first_id", "second_id", "choice", "settled_at", "version__number", "version__judge__name")
    found: dict[int, list[CountedJudgment]] = defaultdict(list)
    for task, one, two, choice, at, number, name in rows.order_by("pk").values_list(*columns):
        tiers = {1: [[one], [two]], -1: [[two], [one]], 0: [[one, two]]}[choice]
        found[task].append(CountedJudgment(tiers, [], None, at, weight=wanted.judge_weight, judge=f"{name} v{number}"))
    return found


def _imported(project: Project, cutoff: datetime, wanted: Filter, counts: Counter[str]) -> Iterator[JudgedTask]:
    """Yield what files brought: for each set of answers to a prompt one task with everybody's judgments of it.

    Sets whose pairs have a margin come first, so that a column of margins begins with a number and never with null.
    """
    said = ImportedJudgment.objects.filter(prompt__project=project, created_at__lte=cutoff)
    first = said.filter(prompt=OuterRef("prompt"), group=OuterRef("group")).order_by("pk").values("pk")[:1]
    ordered = said.annotate(first=Subquery(first)).order_by("first", "pk").select_related("prompt")
    for with_margin in (True, False):
        groups = (list(group) for _, group in groupby(ordered.iterator(TASKS_AT_ONCE), key=attrgetter("first")))
        asked = (votes for votes in groups if _has_margin(votes) is with_margin)
        while batch := list(islice(asked, TASKS_AT_ONCE)):
            yield from _imported_tasks(batch, wanted, counts)


def _has_margin(votes: Sequence[ImportedJudgment]) -> bool:
    """Return whether the pairs of these votes have a margin: a stated one, or their distance in an order of several."""
    return sum(map(len, votes[0].tiers)) > 2 or any(vote.margin is not None for vote in votes)


def _imported_tasks(
    batch: Sequence[Sequence[ImportedJudgment]], wanted: Filter, counts: Counter[str]
) -> Iterator[JudgedTask]:
    pks = {pk for votes in batch for tier in votes[0].tiers for pk in tier}
    texts = Completion.objects.filter(pk__in=pks).values_list("pk", "text", "finished")
    answers = {pk: JudgedCandidate(pk, text, finished, policy=None, source=IMPORTED) for pk, text, finished in texts}
    for votes in batch:
        if task := _imported_task(votes, answers, wanted, counts):
            yield task


def _imported_task(
    said: Sequence[ImportedJudgment], answers: dict[int, JudgedCandidate], wanted: Filter, counts: Counter[str]
) -> JudgedTask | None:
    judgments = []
    for each in said:
        at = each.judged_at or each.created_at
        if reason := wanted.refusal(None, at):
            counts[f"imported votes {reason}"] += 1
            continue
        counts["imported votes"] += 1
        judgments.append(
            CountedJudgment(
                each.tiers,
                each.unacceptable,
                None,
                at,
                each.unranked,
                each.strength,
                each.ratings,
                rationale=each.rationale,
                margin=each.margin,
                weight=each.weight,
                name=each.annotator,
            )
        )
    if not judgments:
        return None
    about = {pk: answers[pk] for pk in sorted(pk for tier in said[0].tiers for pk in tier)}
    prompt = said[0].prompt
    return JudgedTask(-said[0].pk, prompt.pk, prompt.messages, prompt.split, about, judgments, source=IMPORTED)


def guideline_version(project: Project) -> str:
    """Return a short hash of the guidelines: it changes with every word."""
    return hashlib.sha256(project.guidelines.encode()).hexdigest()[:12]
