"""Webhooks: events are stored for the addresses that asked for them, and delivered.

A delivery is stored in the transaction of its event, so an event that was rolled back is never delivered. A delivery
may arrive twice; its id is the same then. The deliveries of one webhook are made one after the other in the order of
their ids: while one waits for its next attempt the later ones wait too, which also spares an address that is down.
`annotation.delivery.queue` says how a delivery moves.
"""

from __future__ import annotations

import base64
import json
import random
import secrets
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from annotation import audit
from annotation.delivery import queue
from annotation.delivery.post import SECRET_MARK, WHOLE_SECONDS, HookResponse, post, signed_headers
from annotation.models import AuditAction, Delivery, Event, Project, Webhook
from annotation.models.outgoing import OutgoingQuerySet
from annotation.models.prepared import Prepared

LOST_AFTER = timedelta(seconds=3 * WHOLE_SECONDS)
LONGEST_WAIT = timedelta(hours=1)
_of_project = Prepared(lambda project: Webhook.objects.filter(project=project).order_by("id"), project=int)


@transaction.atomic
def add_webhook(*, project: Project, url: str, events: Iterable[Event], secret: str = "", by: User) -> Webhook:
    """Create and return a webhook, with a random secret where none is given."""
    webhook = Webhook.objects.create(
        project=project,
        url=url,
        secret=secret or SECRET_MARK + base64.b64encode(secrets.token_bytes(32)).decode(),
        events=" ".join(event.value for event in Event if event in set(events)),
        created_by_id=by.pk,
    )
    audit.record(AuditAction.WEBHOOK_ADDED, by=by, project=project, what=webhook.url, events=webhook.events)
    return webhook


@transaction.atomic
def remove_webhook(*, webhook: Webhook, by: User) -> None:
    """Delete a webhook: its address deleted."""
    audit.record(AuditAction.WEBHOOK_REMOVED, by=by, project=webhook.project, what=webhook.url)
    webhook.delete()


def record_event(*, project: Project, event: Event, data: dict[str, Any]) -> None:
    """Store a delivery for every webhook that wants the event. Call it inside the transaction of the event."""
    for webhook in _of_project.rows(project=project.pk):
        if webhook.wants(event):
            _store(webhook, event, {"project": project.slug, **data})


def send_test(*, webhook: Webhook, by: User) -> Delivery:
    """Store and return a test delivery."""
    audit.record(AuditAction.WEBHOOK_SENT, by=by, project=webhook.project, what=webhook.url, event=Event.TEST.value)
    return _store(webhook, Event.TEST, {"project": webhook.project.slug, "asked_for_by": by.get_username()})


def _store(webhook: Webhook, event: Event, data: dict[str, Any]) -> Delivery:
    body = {"type": event.value, "timestamp": timezone.now().isoformat(), "data": data}
    return Delivery.objects.create(
        webhook=webhook,
        event=event,
        body=json.dumps(body, ensure_ascii=False),
        attempts_allowed=settings.WEBHOOK_ATTEMPTS,
    )


def send_again(*, delivery: Delivery) -> None:
    """Make a delivery due at once, with all its attempts before it."""
    queue.send_again(delivery, attempts=settings.WEBHOOK_ATTEMPTS)
    project, url = delivery.webhook.project, delivery.webhook.url
    audit.record(AuditAction.WEBHOOK_SENT, project=project, what=url, event=delivery.event, again=True)


def deliver_next() -> bool:
    """Make the attempt that is due; return whether one was."""
    delivery = _claim()
    if delivery is None:
        return False
    webhook = delivery.webhook
    headers = signed_headers(webhook.secret, delivery.message_id, int(time.time()), delivery.body)
    _settle(delivery, post(webhook.url, headers, delivery.body))
    return True


def next_of_each() -> OutgoingQuerySet[Delivery]:
    """Return the first pending delivery of each webhook: those behind it wait for it, however long they have been due.

    The first one is looked up for each webhook: an address that is down for a day has 100,000 more behind it.
    """
    pending = Delivery.objects.pending().filter(webhook=OuterRef("pk")).order_by("pk")
    first = Webhook.objects.annotate(first=Subquery(pending.values("pk")[:1])).exclude(first=None)
    return Delivery.objects.filter(pk__in=list(first.values_list("first", flat=True)))


def _claim() -> Delivery | None:
    return queue.claim(next_of_each(), lost_after=LOST_AFTER)


def _settle(delivery: Delivery, response: HookResponse) -> None:
    """Store how an attempt ended. A random quarter more or less of the wait spreads what failed at once."""
    failures = delivery.attempts - (delivery.attempts_allowed - settings.WEBHOOK_ATTEMPTS)
    first = timedelta(seconds=settings.WEBHOOK_FIRST_WAIT_SECONDS)
    queue.settle(
        delivery,
        delivered=response.is_good,
        hopeless=response.hopeless,
        wait=queue.wait_after(failures, first=first, longest=LONGEST_WAIT) * random.uniform(0.75, 1.25),
        last_status=response.status,
        last_answer=response.text,
    )
