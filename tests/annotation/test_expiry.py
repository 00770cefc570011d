"""What would only grow: sessions, failed sign-ins and messages go after their time, and nothing else does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client

from annotation import clock
from annotation.actions import expiry
from annotation.delivery import mail as mail_delivery
from annotation.delivery import webhooks
from annotation.models import Delivery, DeliveryStatus, Event, MailMessage, Webhook
from training.worker.loop import Worker

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def a_hook(project, url: str = "https://hooks.example.org/") -> Webhook:
    return Webhook.objects.create(project=project, url=url, secret="whsec_AAAA", events=Event.JUDGMENT)


def a_delivery(hook: Webhook, days: float, status: str = "delivered") -> Delivery:
    then = clock.now() - timedelta(days=days)
    kept = {"webhook": hook, "event": Event.JUDGMENT, "body": "{}", "attempts_allowed": 8, "status": status}
    made = Delivery.objects.create(**kept, finished_at=None if status == "pending" else then)
    Delivery.objects.filter(pk=made.pk).update(created_at=then, next_attempt_at=then)
    return made


def test_messages_go_after_their_days_and_waiting_ones_are_given_up_first(project, admin, monkeypatch):
    monkeypatch.setattr(expiry, "BATCH", 2)
    hook = a_hook(project)
    for _ in range(5):
        a_delivery(hook, 31)
    kept = [a_delivery(hook, 29), a_delivery(hook, 29, "failed"), a_delivery(hook, 29, "pending")]
    lost = a_delivery(hook, 31, "pending")
    a_delivery(hook, 400, "failed")
    old = {"subject": "Round 1", "body": "", "attempts_allowed": 6, "status": "delivered"}
    MailMessage.objects.create(project=project, user=admin, finished_at=clock.now() - timedelta(days=31), **old)
    mail = MailMessage.objects.create(project=project, user=admin, finished_at=clock.now(), **old)

    assert set(expiry.delete_expired(keep_days=0).values()) == {0}
    assert Delivery.objects.count() == 10
    deleted = expiry.delete_expired(keep_days=30)
    assert (deleted["annotation_delivery"], deleted["annotation_mailmessage"]) == (6, 1)
    assert set(Delivery.objects.values_list("pk", flat=True)) == {each.pk for each in [*kept, lost]}
    assert list(MailMessage.objects.all()) == [mail]
    lost.refresh_from_db()
    assert lost.status == DeliveryStatus.FAILED
    assert lost.last_answer == "Given up: it was not delivered within 30 days."
    assert set(expiry.delete_expired(keep_days=30).values()) == {0}  # its failure is shown for as long


def test_what_was_sent_again_is_not_given_up_for_its_age(project):
    again = a_delivery(a_hook(project), 31, "failed")
    webhooks.send_again(delivery=again)
    assert expiry.give_up(keep_days=30) == 0
    Delivery.objects.filter(pk=again.pk).update(next_attempt_at=clock.now() - timedelta(days=30, seconds=1))
    assert expiry.give_up(keep_days=30) == 1


def test_a_mail_that_fails_unsent_keeps_no_link(project, admin):
    """A link sets a password, or joins a project, for who reads it."""
    link = {"subject": "Join", "body": "https://prefloop.example.org/join/secret", "attempts_allowed": 1}
    secret = [{"project": None, "user": admin}, {"project": project, "address": "new@example.org"}]
    long_ago = clock.now() - timedelta(days=31)
    for mail in [*secret, {"project": project, "user": admin}]:
        MailMessage.objects.create(**mail, **link, next_attempt_at=long_ago)
        MailMessage.objects.create(**mail, **link, attempts=1)
    assert expiry.give_up(keep_days=30) == 3
    assert mail_delivery.send_next() is False  # the process that made the only attempt ended
    assert {row.status for row in MailMessage.objects.all()} == {DeliveryStatus.FAILED}
    kept = MailMessage.objects.exclude(body="")
    assert [(row.project, row.user) for row in kept] == [(project, admin)] * 2


def test_the_worker_deletes_what_is_over(project, admin, as_user, settings):
    here, away = as_user(admin), Client()
    away.force_login(admin)
    ended = Session.objects.get(pk=away.session.session_key)
    Session.objects.filter(pk=ended.pk).update(expire_date=clock.now() - timedelta(seconds=1))
    for name, hours in (("mallory", 25), ("trent", 1)):
        attempt = AccessAttempt.objects.create(username=name, ip_address="192.0.2.9", failures_since_start=3)
        AccessAttempt.objects.filter(pk=attempt.pk).update(attempt_time=clock.now() - timedelta(hours=hours))
    a_delivery(a_hook(project), 8)
    settings.MESSAGE_DAYS = 7
    Worker()._work_beside_runs()
    assert not Session.objects.filter(pk=ended.pk).exists()
    assert here.get("/").status_code == 200
    assert list(AccessAttempt.objects.values_list("username", flat=True)) == ["trent"]
    assert not Delivery.objects.exists()


def test_what_waits_behind_an_address_that_is_down_is_not_looked_at(project, settings):
    """One delivery of each webhook is looked up by an index, however many more there are."""
    down, well = a_hook(project), a_hook(project, "https://well.example.org/")
    waits = a_delivery(down, 0, "pending")
    Delivery.objects.filter(pk=waits.pk).update(next_attempt_at=clock.now() + timedelta(hours=1))
    one = {"event": Event.JUDGMENT, "body": "{}", "attempts_allowed": 8}
    Delivery.objects.bulk_create([Delivery(webhook=down, **one) for _ in range(500)])
    due = a_delivery(well, 0, "pending")
    assert webhooks._claim().pk == due.pk
    assert webhooks._claim() is None
    pending = Delivery.objects.pending().filter(webhook=down).order_by("pk").values("pk")[:1]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:  # a table as small as this one is read whole otherwise
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
    assert "first_pending_of_webhook" in pending.explain()
