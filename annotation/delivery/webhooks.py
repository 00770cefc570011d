"""How an event gets to those who want to know of it.

    PENDING ─attempt─▶ DELIVERED   the answer was 2xx
       │ ▲      ├────▶ PENDING     anything else: again later, and later each time
       │ │      └────▶ FAILED      after the last attempt, or where the address is not allowed
       │ └─────────────send again─────┘

A delivery is written in the transaction of its event, so what was rolled back is told to nobody. It may arrive twice
(its id tells), and the deliveries of one webhook go out one after the other, in the order of their ids: while one
waits for its next attempt those behind it wait too, which also spares an address that is down.
"""

from __future__ import annotations

import base64
import json
import random
import secrets
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from annotation.delivery.post import SECRET_MARK, WHOLE_SECONDS, Answer, post, signed_headers
from annotation.models import Delivery, DeliveryStatus, Event, Project, Webhook

LOST_AFTER = timedelta(seconds=3 * WHOLE_SECONDS)  # whoever made the attempt did not live to tell


def add_webhook(*, project: Project, url: str, events: Iterable[Event], secret: str = "", by: User) -> Webhook:
    """Without a secret of their own they are given one."""
    return Webhook.objects.create(
        project=project,
        url=url,
        secret=secret or SECRET_MARK + base64.b64encode(secrets.token_bytes(32)).decode(),
        events=" ".join(event.value for event in Event if event in set(events)),
        created_by_id=by.pk,
    )


def record_event(*, project: Project, event: Event, data: dict[str, Any]) -> None:
    """Called inside the transaction in which it happens: both are stored, or neither."""
    for webhook in Webhook.objects.filter(project=project).order_by("id"):
        if webhook.wants(event):
            _queue(webhook, event, {"project": project.slug, **data})


def send_test(*, webhook: Webhook, by: User) -> Delivery:
    return _queue(webhook, Event.TEST, {"project": webhook.project.slug, "asked_for_by": by.get_username()})


def _queue(webhook: Webhook, event: Event, data: dict[str, Any]) -> Delivery:
    body = {"type": event.value, "timestamp": timezone.now().isoformat(), "data": data}
    return Delivery.objects.create(
        webhook=webhook,
        event=event,
        body=json.dumps(body, ensure_ascii=False),
        attempts_allowed=settings.WEBHOOK_ATTEMPTS,
    )


def send_again(*, delivery: Delivery) -> None:
    """At once and with all its attempts before it, whether it is over or waits for its next one."""
    Delivery.objects.filter(pk=delivery.pk).update(
        status=DeliveryStatus.PENDING,
        finished_at=None,
        next_attempt_at=timezone.now(),
        attempts_allowed=F("attempts") + settings.WEBHOOK_ATTEMPTS,
    )


def deliver_next() -> bool:
    """Make the attempt that is due, if one is."""
    delivery = _claim()
    if delivery is None:
        return False
    webhook = delivery.webhook
    headers = signed_headers(webhook.secret, delivery.message_id, int(time.time()), delivery.body)
    _settle(delivery, post(webhook.url, headers, delivery.body))
    return True


def _claim() -> Delivery | None:
    """The first that is due and has nothing before it in its line, with one attempt more to its name."""
    now = timezone.now()
    earlier = Delivery.objects.filter(webhook=OuterRef("webhook"), status=DeliveryStatus.PENDING, pk__lt=OuterRef("pk"))
    due = Delivery.objects.filter(~Exists(earlier), status=DeliveryStatus.PENDING, next_attempt_at__lte=now)
    for pk, attempts in due.order_by("next_attempt_at", "pk").values_list("pk", "attempts")[:10]:
        ours = Delivery.objects.filter(pk=pk, status=DeliveryStatus.PENDING, attempts=attempts)
        # Lost with its worker at the last attempt that it had: nobody will settle it any more.
        if ours.filter(attempts_allowed__lte=attempts).update(status=DeliveryStatus.FAILED, finished_at=now):
            continue
        if ours.update(attempts=attempts + 1, next_attempt_at=now + LOST_AFTER):
            return Delivery.objects.select_related("webhook").get(pk=pk)
    return None


def _settle(delivery: Delivery, answer: Answer) -> None:
    now = timezone.now()
    moves: dict[str, Any] = {"last_status": answer.status, "last_answer": answer.text}
    if answer.is_good:
        moves |= {"status": DeliveryStatus.DELIVERED, "finished_at": now}
    elif answer.hopeless or delivery.attempts >= delivery.attempts_allowed:
        moves |= {"status": DeliveryStatus.FAILED, "finished_at": now}
    else:
        moves |= {"next_attempt_at": _again_at(delivery, now)}
    ours = Delivery.objects.filter(pk=delivery.pk, status=DeliveryStatus.PENDING, attempts=delivery.attempts)
    ours.update(**moves)


def _again_at(delivery: Delivery, now: datetime) -> datetime:
    """Four times as long after each failure, up to an hour; a quarter more or less spreads what failed at once."""
    failures = delivery.attempts - (delivery.attempts_allowed - settings.WEBHOOK_ATTEMPTS)
    seconds = min(settings.WEBHOOK_FIRST_WAIT_SECONDS * 4 ** (failures - 1), 3600)
    return now + timedelta(seconds=seconds * random.uniform(0.75, 1.25))
