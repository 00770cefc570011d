"""The formats of a snapshot: one function each, from a project's judgments to rows of JSON, and a row in EXPORTS.

A function counts what it takes and what it leaves out, by reason, and raises NotPossible where nothing is left.
Rows come in the order of the tasks, so the same judgments give the same file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import Prefetch

from annotation.actions import NotPossible
from annotation.models import (
    Assignment,
    Completion,
    Project,
    Purpose,
    ReferenceAnswer,
    SnapshotType,
    Task,
)
from annotation.preferences import Pair, merge
from annotation.quality.votes import Vote, Votes

Row = dict[str, Any]
Counts = Counter[str]
TASKS_AT_ONCE = 200
NOTHING_PREFERRED = "No ranking prefers one answer to another yet, so there is nothing to train on."
NO_GOOD_ANSWER = "Nobody has written a reference answer or ranked one answer best yet, so there is nothing to imitate."


def ranking_rows(project: Project, cutoff: datetime, counts: Counts) -> Iterator[Row]:
    """One row per judged task: its candidates, and everything that people said, ties and contradictions too.

    `tiers` and `unacceptable` are places in `candidates`. `policy` is the newest version among their authors.
    """
    annotators = set()
    for task, rankings in _ranked_tasks(project, cutoff, counts, Votes(project, cutoff)):
        candidates = list(task.candidates.all())
        place = {completion.pk: number for number, completion in enumerate(candidates)}
        _count_pairs(task, rankings, counts)
        counts[f"{task.prompt.split} tasks"] += 1
        annotators |= {ranking.annotator for ranking in rankings}
        versions = [completion.policy.number for completion in candidates if completion.policy]
        yield {
            "prompt": task.prompt.messages,
            "candidates": [{"text": completion.text, "finished": completion.finished} for completion in candidates],
            "rankings": [
                {
                    "tiers": [sorted(place[pk] for pk in tier) for tier in ranking.tiers],
                    "unacceptable": sorted(place[pk] for pk in ranking.unacceptable),
                    "weight": ranking.weight,
                    "annotator": ranking.annotator,
                    **_only_asked(ranking, place),
                }
                for ranking in rankings
            ],
            "prompt_id": task.prompt_id,
            "group_id": task.pk,
            "split": task.prompt.split,
            "policy": max(versions, default=None),
        }
    counts["annotators"] = len(annotators)
    if not counts["train pairs"] + counts["eval pairs"]:
        raise NotPossible(NOTHING_PREFERRED)


def _only_asked(ranking: Vote, place: dict[int, int]) -> Row:
    """What only some ways of asking give: answers without a place, the strength of a comparison, ratings."""
    said: Row = {}
    if ranking.unranked:
        said["unranked"] = sorted(place[pk] for pk in ranking.unranked)
    if ranking.strength is not None:
        said["strength"] = ranking.strength
    if ranking.ratings:
        said["ratings"] = {str(place[int(pk)]): rated for pk, rated in ranking.ratings.items()}
    return said


def preference_rows(project: Project, cutoff: datetime, counts: Counts) -> Iterator[Row]:
    """One row per pair, in TRL's words. `group_id` is the task: pairs of one ranking stay together."""
    for task, rankings in _ranked_tasks(project, cutoff, counts, Votes(project, cutoff)):
        pairs = _count_pairs(task, rankings, counts)
        texts = {completion.pk: completion for completion in task.candidates.all()}
        for pair in pairs:
            yield _pair_row(task, texts, pair)
    yield from _edited_rows(project, cutoff, counts)
    if not counts["train pairs"] + counts["eval pairs"]:
        raise NotPossible(NOTHING_PREFERRED)


def _edited_rows(project: Project, cutoff: datetime, counts: Counts) -> Iterator[Row]:
    """Whoever made a reference answer out of a candidate preferred what came of it."""
    edited = ReferenceAnswer.objects.filter(
        assignment__project=project, created_at__lte=cutoff, derived_from__isnull=False
    ).select_related("assignment__task__prompt", "completion", "derived_from")
    for reference in edited.order_by("id").iterator():
        original = reference.derived_from
        assert original is not None
        task = reference.assignment.task
        counts["edited answers"] += 1
        counts[f"{task.prompt.split} pairs"] += 1
        pair = Pair(reference.completion_id, original.pk, votes_for=1, votes_against=0, margin=1.0)
        texts = {reference.completion_id: reference.completion, original.pk: original}
        yield {**_pair_row(task, texts, pair), "source": "edit"}


def completion_rows(project: Project, cutoff: datetime, counts: Counts) -> Iterator[Row]:
    """What an answer should be like: reference answers, then the answers that every ranking of a task puts first."""
    taken = set()
    references = ReferenceAnswer.objects.filter(assignment__project=project, created_at__lte=cutoff)
    votes = Votes(project, cutoff)
    references = references.exclude(assignment__annotator__in=votes.excluded)
    for reference in references.select_related("completion__prompt").order_by("id").iterator():
        taken.add(reference.completion_id)
        counts["reference answers"] += 1
        yield _completion_row(reference.completion, "reference")
    for task, rankings in _ranked_tasks(project, cutoff, counts, votes):
        firsts = {tuple(sorted(ranking.tiers[0])) for ranking in rankings}
        first = firsts.pop()
        if firsts or len(first) > 1:
            counts["tasks without one best answer"] += 1
        elif any(first[0] in ranking.unacceptable for ranking in rankings):
            counts["best answers that are unacceptable"] += 1
        elif first[0] in taken:
            counts["best answers that are in it already"] += 1
        else:
            taken.add(first[0])
            counts["best-ranked answers"] += 1
            best = next(completion for completion in task.candidates.all() if completion.pk == first[0])
            best.prompt = task.prompt  # known already: no query for it
            yield _completion_row(best, "best_ranked")
    if not taken:
        raise NotPossible(NO_GOOD_ANSWER)


EXPORTS: dict[str, Callable[[Project, datetime, Counts], Iterator[Row]]] = {
    SnapshotType.PREFERENCE: preference_rows,
    SnapshotType.RANKING: ranking_rows,
    SnapshotType.PROMPT_COMPLETION: completion_rows,
}


def _ranked_tasks(
    project: Project, cutoff: datetime, counts: Counts, votes: Votes
) -> Iterator[tuple[Task, list[Vote]]]:
    """Tasks in order with their votes until `cutoff`, read some hundred at a time. A check of a person is no vote."""
    seats = Assignment.objects.filter(ranking__created_at__lte=cutoff).select_related("ranking").order_by("ranking__id")
    completions = Completion.objects.select_related("policy").order_by("id")
    tasks = (
        Task.objects.filter(project=project, kind="ranking", purpose=Purpose.WORK)
        .select_related("prompt")
        .prefetch_related(Prefetch("candidates", completions), Prefetch("assignments", seats, to_attr="judged"))
        .order_by("id")
    )
    for task in tasks.iterator(chunk_size=TASKS_AT_ONCE):
        rankings = votes.of(task.pk, task.judged, counts)
        if rankings:
            yield task, rankings
        elif task.judged:
            counts["tasks whose rankings are all excluded"] += 1
        else:
            counts["tasks without a ranking"] += 1


def _count_pairs(task: Task, rankings: list[Vote], counts: Counts) -> list[Pair]:
    pairs, ties = merge(
        [ranking.tiers for ranking in rankings],
        unranked=[ranking.unranked for ranking in rankings],
        strengths=[ranking.strength for ranking in rankings],
    )
    counts["rankings"] += len(rankings)
    counts["ties"] += ties
    counts[f"{task.prompt.split} pairs"] += len(pairs)
    return pairs


def _pair_row(task: Task, texts: dict[int, Completion], pair: Pair) -> Row:
    return {
        "prompt": task.prompt.messages,
        "chosen": _message(texts[pair.chosen]),
        "rejected": _message(texts[pair.rejected]),
        "margin": pair.margin,
        "votes_for": pair.votes_for,
        "votes_against": pair.votes_against,
        "prompt_id": task.prompt_id,
        "group_id": task.pk,
        "split": task.prompt.split,
        "chosen_finished": texts[pair.chosen].finished,
        "rejected_finished": texts[pair.rejected].finished,
        "source": "ranking",
    }


def _completion_row(completion: Completion, source: str) -> Row:
    return {
        "prompt": completion.prompt.messages,
        "completion": _message(completion),
        "prompt_id": completion.prompt_id,
        "split": completion.prompt.split,
        "source": source,
        "finished": completion.finished,
    }


def _message(completion: Completion) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": completion.text}]
