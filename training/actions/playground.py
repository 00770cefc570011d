"""Asking in the playground, what a verdict there becomes, and the life of a reply.

QUEUED ─claim─▶ RUNNING ─▶ DONE | FAILED, and CANCELLED from either of the first two. Every move is one conditional
UPDATE; `attempt` is the fencing token: a generator that lost its reply to another one updates nothing.
"""

from __future__ import annotations

import random
import uuid
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Q
from django.utils.translation import gettext

from annotation import clock
from annotation.actions import judgments, tasks
from annotation.blinding import may_be_blind
from annotation.errors import NotPossible
from annotation.models import Completion, PolicyVersion, Project, Prompt, SeatStatus, Source, Split
from training.models import WRITING, Exchange, Outcome, Reply, ReplyStatus, Side

MOST_WAITING = 4  # replies of one person
SILENT = timedelta(seconds=30)  # a generator gives a sign of life several times a second
MOST_ATTEMPTS = 2
LONGEST_READING = timedelta(minutes=5)  # of two replies; who takes longer was away meanwhile


@transaction.atomic
def ask(
    *,
    project: Project,
    by: User,
    question: str,
    versions: list[PolicyVersion],
    max_new_tokens: int,
    temperature: float,
    follows: Exchange | None = None,
) -> Exchange:
    """Store a question to one version, or to two in random order as A and B, and return the exchange.

    A follow-up continues the conversation from the reply that was judged better.
    """
    if Reply.objects.filter(exchange__asked_by_id=by.pk, status__in=WRITING).count() >= MOST_WAITING:
        raise NotPossible(gettext("Some of your responses are still being generated. Wait for them, or cancel them."))
    shown = random.sample(versions, len(versions))
    exchange = Exchange.objects.create(
        project=project,
        asked_by_id=by.pk,
        follows=follows,
        left=shown[0],
        right=shown[1] if len(shown) > 1 else None,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        messages=[*(conversation(follows) if follows else []), {"role": "user", "content": question}],
    )
    Reply.objects.bulk_create([Reply(exchange=exchange, side=side) for side in list(Side)[: len(shown)]])
    return exchange


def conversation(exchange: Exchange) -> list[dict[str, str]]:
    """Return the messages so far with the reply to continue from: the better one, or A after a tie."""
    wanted = Side.RIGHT if exchange.outcome == Outcome.RIGHT else Side.LEFT
    reply = exchange.replies.filter(side=wanted).first()
    if reply is None or reply.status != ReplyStatus.DONE:
        raise NotPossible(gettext("The previous response is not generated."))
    if exchange.is_blind:
        raise NotPossible(gettext("Choose the better response first; then the conversation continues from it."))
    return [*exchange.messages, {"role": "assistant", "content": reply.text}]


@transaction.atomic
def judge(*, exchange: Exchange, outcome: Outcome, by: User) -> None:
    """Store the verdict as a judgment of a ranking task with the two replies, which opens and closes with it."""
    replies = {reply.side: reply for reply in exchange.replies.filter(status=ReplyStatus.DONE)}
    if len(replies) < 2:
        raise NotPossible(gettext("There are no two responses to compare."))
    if not Exchange.objects.filter(pk=exchange.pk, outcome="").update(outcome=outcome):
        raise NotPossible(gettext("You have already chosen the better response."))
    exchange.outcome = outcome
    prompt = _prompt(exchange)
    if prompt.withdrawn_at or not _teach([reply.text.strip() for reply in replies.values()], exchange.project):
        return
    own = [_completion(prompt, replies[side]) for side in Side]
    task = tasks.open_task(
        prompt=prompt, kind="ranking", candidates=own, seats=1, origin=_origin(exchange), can_be_undone=False
    )
    left, right = (completion.pk for completion in own)
    tiers = {Outcome.LEFT: [[left], [right]], Outcome.RIGHT: [[right], [left]], Outcome.TIE: [[left, right]]}[outcome]
    assignment = task.assignments.get()
    now = clock.now()
    held = {"annotator_id": by.pk, "claimed_at": exchange.created_at, "expires_at": now, "shown_order": [left, right]}
    task.assignments.filter(pk=assignment.pk).update(status=SeatStatus.HELD, **held)
    assignment.refresh_from_db()
    answer: dict[str, Any] = {"tiers": tiers, "unacceptable": [], "rationale": ""}
    written = max(reply.heartbeat_at or reply.created_at for reply in replies.values())
    read_for = min(now - written, LONGEST_READING)
    active_ms = round(max(read_for.total_seconds(), 0) * 1000)
    judgments.submit(assignment=assignment, client_uuid=uuid.uuid4(), answer=answer, active_ms=active_ms)
    Exchange.objects.filter(pk=exchange.pk).update(task=task)


def _teach(texts: list[str], project: Project) -> bool:
    """Return whether these replies make training data: all different, none empty, none that names its author."""
    return len(set(texts)) == len(texts) and all(may_be_blind(text, project) for text in texts)


def _origin(exchange: Exchange) -> str:
    return f"playground-{exchange.pk}"


def _prompt(exchange: Exchange) -> Prompt:
    digest = Prompt.digest_of(exchange.messages)
    prompt, _ = Prompt.objects.get_or_create(
        project=exchange.project,
        digest=digest,
        defaults={"messages": exchange.messages, "split": Split.of(digest), "category": "playground"},
    )
    return prompt


def _completion(prompt: Prompt, reply: Reply) -> Completion:
    exchange = reply.exchange
    return Completion.objects.create(
        prompt=prompt,
        source=Source.POLICY,
        policy=reply.policy,
        text=reply.text,
        tokens=reply.tokens,
        finished=reply.finished,
        origin=_origin(exchange),
        index=list(Side).index(Side(reply.side)),
        sampling={"temperature": exchange.temperature, "max_new_tokens": exchange.max_new_tokens},
    )


def cancel(*, exchange: Exchange) -> None:
    """Stop writing the replies; what is written so far is kept."""
    exchange.replies.filter(status__in=WRITING).update(status=ReplyStatus.CANCELLED)


def claim_reply() -> Reply | None:
    """Return the next reply to write, now RUNNING; one whose generator has gone silent is written again, once."""
    now = clock.now()
    lost = Q(status=ReplyStatus.RUNNING, heartbeat_at__lt=now - SILENT)
    Reply.objects.filter(lost, attempt__gte=MOST_ATTEMPTS).update(
        status=ReplyStatus.FAILED, error="The process that wrote it went away twice."
    )
    waiting = Reply.objects.filter(Q(status=ReplyStatus.QUEUED) | lost).order_by("id")
    return waiting.claim(status=ReplyStatus.RUNNING, heartbeat_at=now, text="", tokens=0)


def keep_text(*, reply: Reply, text: str, tokens: int, seconds: float) -> bool:
    """Store a sign of life and the text so far; return False where the reply was cancelled or taken over."""
    return bool(
        Reply.objects.still_ours(reply).update(text=text, tokens=tokens, seconds=seconds, heartbeat_at=clock.now())
    )


def finish(*, reply: Reply, text: str, tokens: int, seconds: float, finished: bool) -> None:
    Reply.objects.still_ours(reply).update(
        status=ReplyStatus.DONE, text=text, tokens=tokens, seconds=seconds, finished=finished, error=""
    )


def fail(*, reply: Reply, error: str) -> None:
    Reply.objects.still_ours(reply).update(status=ReplyStatus.FAILED, error=error)


def put_back(*, reply: Reply) -> None:
    """Put a reply back into the queue because its generator is being stopped: no attempt counts."""
    Reply.objects.still_ours(reply).update(
        status=ReplyStatus.QUEUED, heartbeat_at=None, attempt=F("attempt") - 1, text=""
    )
