"""Thumbs of end users as judgments of single responses: a source of its own, counted only where it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby

from django.db.models import Exists, OuterRef, QuerySet

from annotation.judged.counted import CountedJudgment, Filter, JudgedCandidate, JudgedTask
from annotation.models import Feedback, Project, Split, Thumb, UnaryJudgment
from annotation.stats.unpaired import ACCEPTABLE, END_USERS

AT_ONCE = 500
FIRST_GROUP = -(10**12)  # ids of what is no task are negative; those of imported judgments end far before this one


def thumbs_of_end_users(
    project: Project, cutoff: datetime, wanted: Filter, counts: Counter[str]
) -> Iterator[JudgedTask]:
    """Yield each response that end users gave a thumb until `cutoff`, with one vote of each of them, in a fixed order.

    Held-out prompts have none, so that what is measured on them is measured on annotators' judgments. Where annotators
    judged the same response by itself, their word stands alone.
    """
    thumbs = Feedback.objects.filter(project=project, updated_at__lte=cutoff).exclude(thumb="")
    thumbs = thumbs.exclude(completion__text="")
    by_people = Exists(
        UnaryJudgment.objects.filter(
            assignment__project=project, assignment__task__candidates=OuterRef("completion"), created_at__lte=cutoff
        )
    )
    counts["thumbs on held-out prompts"] += thumbs.exclude(prompt__split=Split.TRAIN).count()
    usable = thumbs.filter(prompt__split=Split.TRAIN)
    counts["thumbs on responses that annotators judged"] += usable.filter(by_people).count()
    for responses in _by_response(usable.exclude(by_people)):
        if task := _task(responses, wanted, counts):
            yield task


def _by_response(thumbs: QuerySet[Feedback]) -> Iterator[list[Feedback]]:
    ordered = thumbs.order_by("completion_id", "pk").select_related("prompt", "completion__policy")
    for _, group in groupby(ordered.iterator(AT_ONCE), key=lambda thumb: thumb.completion_id):
        yield list(group)


def _task(thumbs: list[Feedback], wanted: Filter, counts: Counter[str]) -> JudgedTask | None:
    """Return the votes on one response that are asked for; of each end user who has a hash the newest."""
    newest: dict[str, Feedback] = {}
    for thumb in sorted(thumbs, key=lambda each: (each.updated_at, each.pk)):
        newest[f"user {thumb.user}" if thumb.user else f"feedback {thumb.pk}"] = thumb
    counts["earlier thumbs of the same end user"] += len(thumbs) - len(newest)
    prompt, completion = thumbs[0].prompt, thumbs[0].completion
    policy = completion.policy.number if completion.policy else None
    if wanted.policies and policy not in wanted.policies:
        counts["thumbs on responses of other policy versions"] += len(newest)
        return None
    votes = []
    for thumb in sorted(newest.values(), key=lambda each: each.pk):
        if wanted.is_in_time(thumb.updated_at):
            votes.append(_vote(thumb, wanted.end_user_weight))
        else:
            counts["thumbs of end users outside the dates"] += 1
    if not votes:
        return None
    counts["thumbs of end users"] += len(votes)
    answer = JudgedCandidate(completion.pk, completion.text, completion.finished, policy, completion.source)
    group = FIRST_GROUP - completion.pk
    return JudgedTask(group, prompt.pk, prompt.messages, prompt.split, {completion.pk: answer}, votes, source=END_USERS)


def _vote(thumb: Feedback, weight: float) -> CountedJudgment:
    pk, good = thumb.completion_id, thumb.thumb == Thumb.UP
    return CountedJudgment(
        [[pk]],
        [] if good else [pk],
        None,
        thumb.updated_at,
        ratings={str(pk): {ACCEPTABLE: float(good)}},
        weight=weight,
        end_user=True,
    )
