"""The playground: three people over HTTP, a real generator with a tiny model, and what becomes of a verdict."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from annotation.actions import reopening
from annotation.errors import NotPossible
from annotation.judged.rows import rankings_that_count
from annotation.models import Completion, PolicyVersion, Ranking, Source
from tests.tiny_model import tiny_checkpoint
from training.actions import playground
from training.models import Exchange, Outcome, Reply, ReplyStatus
from training.worker.playground import Generator

pytestmark = [pytest.mark.django_db, pytest.mark.database]
HOME = "/projects/letters/playground/"


@pytest.fixture
def versions(project, policy, tmp_path) -> list[PolicyVersion]:
    policy.checkpoint = str(tiny_checkpoint(tmp_path / "base"))
    policy.save()
    other = tiny_checkpoint(tmp_path / "other", seed=1)
    return [policy, PolicyVersion.objects.create(project=project, number=1, checkpoint=str(other), parent=policy)]


@pytest.fixture
def ask(project, admin, versions):
    def make(question: str = "How is the sea?", count: int = 2, **values) -> Exchange:
        settings = {"max_new_tokens": 8, "temperature": 1.0, **values}
        return playground.ask(project=project, by=admin, question=question, versions=versions[:count], **settings)

    return make


@pytest.fixture
def generator(forked_recipes):
    made = Generator()
    yield made
    made._end_child()


def written(exchange: Exchange, left: str = "Calm.", right: str = "Wild and green.") -> None:
    for side, text in (("left", left), ("right", right)):
        exchange.replies.filter(side=side).update(status=ReplyStatus.DONE, text=text, tokens=3, finished=True)


@pytest.mark.recipes
def test_from_the_question_to_the_judgment(as_user, admin, versions, project, generator):
    client = as_user(admin)
    sent = {"question": "How is the sea?", "version": "1", "against": "0", "max_new_tokens": "8", "temperature": "1"}
    asked = client.post(HOME, sent)
    assert asked.status_code == 302
    page = asked.headers["Location"]
    assert "Waiting" in client.get(page).content.decode()
    while generator.write_next():
        pass
    shown = client.get(page).content.decode()
    assert "A is better" in shown
    assert ">v0<" not in shown.split("<main")[1].split("<form")[0]  # nothing gives away who wrote which
    assert "policies/" not in shown.split('id="replies"')[1]
    assert client.post(f"{page}judge/", {"outcome": "right"}).status_code == 302
    exchange = Exchange.objects.get()
    shown = client.get(page).content.decode()
    assert f"You preferred {exchange.right}." in shown
    assert "policies/0/" in shown
    ranking = rankings_that_count(project).get()
    better, worse = (Completion.objects.get(pk=tier[0]) for tier in ranking.tiers)
    assert (better.policy, worse.policy) == (exchange.right, exchange.left)
    assert better.prompt.messages == [{"role": "user", "content": "How is the sea?"}]
    assert better.source == Source.POLICY
    assert ranking.assignment.annotator == admin


def test_chance_decides_which_is_a(ask):
    assert {ask().left.number for _ in range(2)} <= {0, 1}
    Reply.objects.update(status=ReplyStatus.DONE)
    seen = set()
    for _ in range(40):
        seen.add(ask().left.number)
        Reply.objects.update(status=ReplyStatus.DONE)
    assert seen == {0, 1}


def test_a_verdict_counts_once_and_only_over_two_replies(ask, admin, project):
    exchange = ask()
    with pytest.raises(NotPossible, match="no two responses"):
        playground.judge(exchange=exchange, outcome=Outcome.LEFT, by=admin)
    written(exchange)
    playground.judge(exchange=exchange, outcome=Outcome.TIE, by=admin)
    with pytest.raises(NotPossible, match="already"):
        playground.judge(exchange=Exchange.objects.get(), outcome=Outcome.LEFT, by=admin)
    assert len(Ranking.objects.get().tiers) == 1


@pytest.mark.parametrize(
    ("left", "right"), [("Calm.", "Calm. "), ("Calm.", " "), ("I was created by Acme Labs.", "Calm.")]
)
def test_two_replies_that_teach_nothing_are_no_judgment(ask, admin, left, right, as_user):
    exchange = ask()
    written(exchange, left, right)
    playground.judge(exchange=exchange, outcome=Outcome.TIE, by=admin)
    assert not Ranking.objects.exists()
    assert "Not stored as an annotation" in as_user(admin).get(exchange.get_absolute_url()).content.decode()


def test_a_verdict_is_not_undone_after_the_names_were_shown_and_its_time_counts(ask, admin, project):
    exchange = ask()
    written(exchange)
    exchange.replies.update(heartbeat_at=timezone.now() - timedelta(seconds=12))
    playground.judge(exchange=exchange, outcome=Outcome.LEFT, by=admin)
    with pytest.raises(NotPossible, match="nothing to undo"):
        reopening.undo(project=project, by=admin)
    assert Ranking.objects.get().assignment.active_ms == pytest.approx(12_000, abs=2_000)


def test_a_follow_up_goes_on_from_the_better_reply(ask, admin, project, versions, as_user):
    exchange = ask()
    written(exchange)
    client = as_user(admin)
    sent = {"question": "And the sky?", "version": "0", "max_new_tokens": "8", "temperature": "1"}
    page = exchange.get_absolute_url()
    refused = client.post(page, sent)
    assert "Choose the better response first" in refused.content.decode()
    playground.judge(exchange=exchange, outcome=Outcome.RIGHT, by=admin)
    assert client.post(page, sent).status_code == 302
    messages = Exchange.objects.first().messages
    assert [message["content"] for message in messages] == ["How is the sea?", "Wild and green.", "And the sky?"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]


def test_nobody_reads_what_others_asked(ask, as_user, annotator, stranger, project):
    page = ask().get_absolute_url()
    assert as_user(annotator).get(page).status_code == 403
    assert as_user(stranger).get(page).status_code == 404
    project.memberships.filter(user=annotator).update(role="admin")
    assert as_user(annotator).get(page).status_code == 404
    assert as_user(annotator).get(f"/api/v1{HOME}").json()["results"] == []


def test_bad_input_names_the_field(as_user, admin, versions):
    client, address = as_user(admin), f"/api/v1{HOME}"

    def errors(**body):
        response = client.post(address, body, content_type="application/json")
        assert response.status_code == 400
        return response.json()["errors"]

    assert errors(version="0") == {"question": ["Write a message."]}
    assert list(errors(question="Hm?", version="7")) == ["version"]
    assert errors(question="Hm?", version="1", against="1") == {
        "against": ["v1 is already selected. Choose another version, or none."]
    }
    assert list(errors(question="Hm?", version="1", temperature=0)) == ["temperature"]


def test_nobody_fills_the_queue(ask):
    ask()
    ask()
    with pytest.raises(NotPossible, match="still being generated"):
        ask()


@pytest.mark.recipes
def test_a_model_that_cannot_be_read_is_said_and_the_next_reply_is_written(ask, versions, generator):
    versions[0].checkpoint = "/nowhere"
    versions[0].save()
    broken, fine = ask(count=1), ask(count=2)
    while generator.write_next():
        pass
    assert "no model in /nowhere" in broken.replies.get().error
    assert {reply.status for reply in fine.replies.all()} == {"failed", "done"}


@pytest.mark.recipes
def test_a_killed_process_is_begun_again_once(ask, generator, monkeypatch):
    monkeypatch.undo()  # here as the server starts it
    exchange = ask(count=1, max_new_tokens=60)
    assert generator.write_next()
    assert exchange.replies.get().status == ReplyStatus.DONE
    again = ask(count=1)
    os.kill(generator.child.process.pid, signal.SIGKILL)
    generator.child.process.wait()
    while generator.write_next():
        pass
    assert again.replies.get().status == ReplyStatus.DONE


def test_a_reply_whose_generator_went_away_is_written_by_another_and_given_up_in_the_end(ask):
    exchange = ask(count=1)
    first = playground.claim_reply()
    assert playground.claim_reply() is None
    long_ago = timezone.now() - timedelta(minutes=1)
    Reply.objects.update(heartbeat_at=long_ago)
    second = playground.claim_reply()
    assert second.pk == first.pk
    # The first one is no longer its writer.
    assert not playground.keep_text(reply=first, text="Old.", tokens=1, seconds=0.1)
    assert playground.keep_text(reply=second, text="New.", tokens=1, seconds=0.1)
    Reply.objects.update(heartbeat_at=long_ago)
    assert playground.claim_reply() is None
    assert exchange.replies.get().error == "The process that wrote it went away twice."


@pytest.mark.recipes
@pytest.mark.django_db(transaction=True)
def test_cancelling_stops_it_in_the_middle(ask, as_user, admin, generator, versions):
    exchange = ask(count=1, max_new_tokens=4000)

    def write() -> None:
        try:
            generator.run_forever()
        finally:
            connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        until = time.monotonic() + 60
        while not Reply.objects.filter(status=ReplyStatus.RUNNING).exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        as_user(admin).post(f"{exchange.get_absolute_url()}cancel/")
        assert "Cancelled" in as_user(admin).get(exchange.get_absolute_url()).content.decode()
        later = ask(count=1)
        while later.replies.get().status != ReplyStatus.DONE:
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        generator.stop()
        thread.join()
    assert exchange.replies.get().status == ReplyStatus.CANCELLED


def test_the_page_says_where_nothing_writes(ask, as_user, admin):
    exchange = ask(count=1)
    page = exchange.get_absolute_url()
    assert "No process generates this response" not in as_user(admin).get(page).content.decode()
    Reply.objects.update(created_at=timezone.now() - timedelta(seconds=20))
    assert "manage.py run_playground" in as_user(admin).get(f"{page}replies/").content.decode()


def test_the_database_keeps_the_sides_apart(ask, project, admin, versions):
    exchange = ask()
    with pytest.raises(IntegrityError), transaction.atomic():
        Reply.objects.create(exchange=exchange, side="left")
    with pytest.raises(IntegrityError), transaction.atomic():
        Exchange.objects.filter(pk=exchange.pk).update(right=exchange.left)
