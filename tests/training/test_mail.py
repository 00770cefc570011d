"""Mail to the admins who asked for it, when a round ends or waits for them."""

from __future__ import annotations

import smtplib
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotation import clock
from annotation.delivery import mail as delivery
from annotation.models import DeliveryStatus, MailMessage, Membership, Preferences, Role
from training.actions.rounds import cancel_round, start_round

pytestmark = [pytest.mark.django_db, pytest.mark.database]
MEMBERS = "/projects/letters/members/"
CLOSED = """
run.checkpoint_path.mkdir()
run.finish({"accuracy": 0.5, "gate": {"passed": False, "reason": "No better than length."}})
"""


@pytest.fixture(autouse=True)
def _mail_server(settings) -> None:
    settings.EMAIL_HOST = "mail.example.org"  # pytest-django keeps what is sent in mail.outbox
    settings.PUBLIC_URL = "https://prefloop.example.org"


@pytest.fixture
def alice(admin, as_user):
    """An admin whose account has an address, and who ticked the box."""
    admin.email = "alice@example.org"
    admin.save()
    client = as_user(admin)
    client.post(f"{MEMBERS}mail/", {"wanted": "on"})
    return client


def let_time_pass() -> None:
    MailMessage.objects.filter(status=DeliveryStatus.PENDING).update(next_attempt_at=clock.now())


def test_whoever_asked_hears_what_a_round_came_to(alice, project, policy, ranked_task, make_worker):
    assert "checked" in alice.get(MEMBERS).content.decode()
    start_round(project=project, methods=["reward", "ppo", "sample"], by=None)
    assert mail.outbox == []
    make_worker().run_until_idle()
    [letter] = mail.outbox
    assert letter.to == ["alice@example.org"]
    assert letter.subject == "[Letters] Round 1 succeeded"
    assert "- Reward model: succeeded, accuracy on held-out pairs 0.7" in letter.body
    assert "- PPO: succeeded, made v1, reward before 0.1, reward after 0.9" in letter.body
    assert "https://prefloop.example.org/projects/letters/rounds/1/" in letter.body
    assert MailMessage.objects.get().status == DeliveryStatus.DELIVERED


def test_everyone_is_written_to_in_their_language(alice, admin, project, policy, ranked_task, make_worker):
    chinese = User.objects.create_user("lin", email="lin@example.org")
    Preferences.objects.create(user=chinese, language="zh-hans")
    Membership.objects.create(project=project, user=chinese, role=Role.ADMIN, mail_about_rounds=True)
    start_round(project=project, methods=["reward", "ppo", "sample"], by=None)
    make_worker().run_until_idle()
    subjects = {letter.to[0]: letter.subject for letter in mail.outbox}
    assert subjects == {"alice@example.org": "[Letters] Round 1 succeeded", "lin@example.org": "[Letters] 第 1 轮成功"}


def test_a_round_that_failed_or_waits_at_a_gate_says_why(alice, project, policy, ranked_task, make_worker):
    start_round(project=project, methods=["reward", "ppo"], settings={"reward": {"gate": "stop"}}, by=None)
    make_worker(reward=CLOSED).run_until_idle()
    assert mail.outbox[0].subject == "[Letters] Round 1 stopped at a quality gate and waits for your decision"
    assert "No better than length." in mail.outbox[0].body
    cancel_round(round=project.rounds.get(), by=None)
    start_round(project=project, methods=["sample"], by=None)
    make_worker(sample="sys.exit(3)").run_until_idle()
    assert [letter.subject for letter in mail.outbox[1:]] == [
        "[Letters] Round 1 was cancelled",
        "[Letters] Round 2 failed",
    ]
    assert "Sampling failed." in mail.outbox[2].body


def test_nobody_else_is_written_to(alice, project, policy, ranked_task, make_worker, annotator, as_user):
    """Not who took the tick away, nor who is no admin any more, nor an account that is closed."""
    annotator.email = "bob@example.org"
    annotator.save()
    assert as_user(annotator).post(f"{MEMBERS}mail/", {"wanted": "on"}).status_code == 403
    alice.post(f"{MEMBERS}mail/", {})
    Membership.objects.filter(user=annotator).update(mail_about_rounds=True)  # was an admin once
    start_round(project=project, methods=["sample"], by=None)
    make_worker().run_until_idle()
    assert (mail.outbox, MailMessage.objects.count()) == ([], 0)
    Membership.objects.filter(user=annotator).update(role=Role.ADMIN)
    annotator.is_active = False
    annotator.save()
    start_round(project=project, methods=["sample"], by=None)
    make_worker().run_until_idle()
    assert mail.outbox == []


def test_without_an_address_or_a_mail_server_the_page_says_so(admin, as_user, settings):
    client = as_user(admin)
    assert "Your account has no mail address" in client.get(MEMBERS).content.decode()
    refused = client.post(f"{MEMBERS}mail/", {"wanted": "on"}, follow=True).content.decode()
    assert "Your account has no mail address" in refused
    admin.email = "alice@example.org"
    admin.save()
    assert "Write to me at alice@example.org" in client.get(MEMBERS).content.decode()
    settings.EMAIL_HOST = ""
    assert "This server sends no mail" in client.get(MEMBERS).content.decode()
    client.post(f"{MEMBERS}mail/", {"wanted": "on"})
    assert not Membership.objects.filter(mail_about_rounds=True).exists()


class TestTheMailServerIsAway:
    @pytest.fixture
    def letter(self, alice, project, monkeypatch) -> MailMessage:
        def refuse(backend, messages):
            raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed")

        delivery.write(project=project, text=lambda: ("A\nsubject", "News."))
        monkeypatch.setattr(EmailBackend, "send_messages", refuse)
        return MailMessage.objects.get()

    def test_it_is_tried_again_later_and_later(self, letter, monkeypatch):
        waits = []
        for _ in range(2):
            let_time_pass()
            assert delivery.send_next()
            assert not delivery.send_next()  # not due
            letter.refresh_from_db()
            waits.append(round((letter.next_attempt_at - timezone.now()) / timedelta(minutes=1)))
        assert waits == [1, 4]
        assert letter.last_answer == "SMTPServerDisconnected: Connection unexpectedly closed"
        monkeypatch.undo()
        let_time_pass()
        delivery.send_next()
        [sent] = mail.outbox
        assert sent.subject == "A subject"

    def test_and_given_up_in_the_end(self, letter):
        for _ in range(6):
            let_time_pass()
            delivery.send_next()
        letter.refresh_from_db()
        assert (letter.status, letter.attempts) == (DeliveryStatus.FAILED, 6)
        assert not delivery.send_next()

    def test_and_once_where_the_account_has_no_address_any_more(self, letter, admin):
        admin.email = ""
        admin.save()
        delivery.send_next()
        letter.refresh_from_db()
        assert (letter.status, letter.attempts) == (DeliveryStatus.FAILED, 1)

    def test_and_given_up_where_the_process_of_the_last_attempt_ended(self, letter, monkeypatch):
        for _ in range(5):
            let_time_pass()
            delivery.send_next()

        def end(backend, messages):
            raise SystemExit

        monkeypatch.setattr(EmailBackend, "send_messages", end)
        let_time_pass()
        with pytest.raises(SystemExit):
            delivery.send_next()
        monkeypatch.undo()
        let_time_pass()
        assert not delivery.send_next()
        letter.refresh_from_db()
        assert (letter.status, letter.attempts) == (DeliveryStatus.FAILED, 6)
        assert letter.last_answer == "The process that made the last attempt ended without a result."
        assert mail.outbox == []


def test_two_who_send_at_once_send_it_once(alice, project, monkeypatch):
    """While one worker's mail is under way, another finds nothing to send."""
    deliver = EmailBackend.send_messages
    meanwhile = []

    def slowly(backend, messages):
        meanwhile.append(delivery.send_next())
        return deliver(backend, messages)

    delivery.write(project=project, text=lambda: ("Once", "News."))
    monkeypatch.setattr(EmailBackend, "send_messages", slowly)
    assert delivery.send_next()
    assert (meanwhile, len(mail.outbox)) == ([False], 1)


def test_the_database_refuses_a_mail_that_is_over_and_waits(alice, project):
    delivery.write(project=project, text=lambda: ("Once", "News."))
    with pytest.raises(IntegrityError), transaction.atomic():
        MailMessage.objects.update(finished_at=timezone.now())
