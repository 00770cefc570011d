"""An annotator's own annotations: each as it was made, comments and replies, undo with a way back, corrections."""

from __future__ import annotations

import json
import re
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from annotation.actions import queue, tasks
from annotation.models import (
    Assignment,
    AuditEvent,
    Completion,
    Ranking,
    ReferenceAnswer,
    ReviewComment,
    Revision,
    Role,
    SeatStatus,
)
from annotation.pseudonyms import pseudonym
from tests.answers import as_shown

pytestmark = pytest.mark.django_db

UNDO = "/projects/letters/undo/"
MINE = "/projects/letters/mine/"


def submit(client, seat, **answer):
    encoded = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in as_shown(seat, answer).items()
    }
    response = client.post(f"{seat.get_absolute_url()}submit/", {"client_uuid": str(uuid.uuid4()), **encoded})
    assert response.status_code == 302


@pytest.fixture
def ranked(bob, project, annotator, open_ranking_task) -> Assignment:
    open_ranking_task(["Red.", "Green.", "Blue.", "Black."])
    seat = queue.claim_next(project=project, by=annotator)
    a, b, c, d = seat.shown_order
    submit(bob, seat, tiers=[[b], [a, c], [d]], unacceptable=[d], rationale="b is kind")
    return seat


def send_back(client, seat, reason="Read it again, please."):
    return client.post(f"/projects/letters/review/judgments/{seat.pk}/send-back/", {"reason": reason}, follow=True)


def test_a_past_ranking_is_shown_as_it_was_made(bob, ranked):
    assert f"{MINE}{ranked.key}/" in bob.get(MINE).content.decode()
    page = bob.get(f"{MINE}{ranked.key}/")
    made = page.context["made"]
    assert made.order == "2 > 1 = 3 | 4"
    texts = dict(Completion.objects.values_list("pk", "text"))
    assert [response.completion.text for response in made.responses] == [texts[pk] for pk in ranked.shown_order]
    assert [response.place for response in made.responses] == [2, 1, 2, 3]
    assert made.responses[0].tied == (3,)
    assert [response.unacceptable for response in made.responses] == [False, False, False, True]
    html = page.content.decode()
    assert "b is kind" in html
    assert "tied with 3" in html
    assert not re.search(r"\bv0\b", html)  # who wrote the responses stays unknown to annotators


def test_own_annotations_of_other_people_are_not_found(bob, ranked, admin, as_user):
    assert as_user(admin).get(f"{MINE}{ranked.key}/").status_code == 404
    assert as_user(admin).post(f"{MINE}{ranked.key}/reply/", {"text": "x"}).status_code == 404


def test_a_reply_reaches_the_reviewer_and_is_no_new_comment_to_its_author(bob, rita, ranked):
    rita.post(f"/projects/letters/review/judgments/{ranked.pk}/comment/", {"text": "Why is blue below green?"})
    assert "1 new comment" in bob.get("/projects/letters/").content.decode()
    bob.post(f"{MINE}{ranked.key}/reply/", {"text": "它更好 <b>because</b>"})
    assert "new comment" not in bob.get("/projects/letters/").content.decode()
    page = bob.get(f"{MINE}{ranked.key}/").content.decode()
    assert "Why is blue below green?" in page
    assert "它更好 &lt;b&gt;because&lt;/b&gt;" in page
    assert "它更好" in rita.get(f"/projects/letters/review/{ranked.task_id}/").content.decode()
    refused = bob.post(f"{MINE}{ranked.key}/reply/", {"text": "  "}, follow=True)
    assert "Write the comment first." in refused.content.decode()
    assert ReviewComment.objects.count() == 2


def test_redo_restores_what_was_undone(bob, ranked):
    said = Ranking.objects.values("tiers", "unacceptable", "unranked", "rationale", "client_uuid").get()
    bob.post(UNDO)
    page = bob.get(ranked.get_absolute_url()).content.decode()
    assert "Redo submission" in page
    bob.post(f"{ranked.get_absolute_url()}draft/", {"draft": '{"rationale": "changed"}', "active_ms": "5"})
    assert bob.post(f"{ranked.get_absolute_url()}redo/").status_code == 302
    assert Ranking.objects.values("tiers", "unacceptable", "unranked", "rationale", "client_uuid").get() == said
    ranked.refresh_from_db()
    assert ranked.status == SeatStatus.DONE
    again = bob.post(f"{ranked.get_absolute_url()}redo/")
    assert again.status_code == 409
    assert "no undone submission" in again.content.decode()


def test_after_a_changed_submit_there_is_nothing_to_redo(bob, ranked):
    bob.post(UNDO)
    submit(bob, ranked, tiers=[[pk] for pk in ranked.shown_order])
    assert bob.post(f"{ranked.get_absolute_url()}redo/").status_code == 409
    assert Ranking.objects.get().tiers == [[pk] for pk in ranked.shown_order]
    html = bob.get(f"{MINE}{ranked.key}/").content.decode()
    assert "2 &gt; 1 = 3 | 4" in html  # the former version
    assert "Undone by the annotator." in html


def test_redo_of_a_reference_response(bob, project, annotator, open_ranking_task):
    task = open_ranking_task(kind="reference")
    seat, origin = queue.claim_next(project=project, by=annotator), task.candidates.first()
    submit(bob, seat, text="A better one.", derived_from=origin.pk)
    bob.post(UNDO)
    assert not ReferenceAnswer.objects.exists()
    bob.post(f"{seat.get_absolute_url()}redo/")
    stored = ReferenceAnswer.objects.get()
    assert (stored.completion.text, stored.derived_from_id) == ("A better one.", origin.pk)


def test_what_is_sent_back_returns_to_its_author_first(bob, rita, ranked, project, annotator, open_ranking_task):
    open_ranking_task(priority=50)
    page = send_back(rita, ranked, "Blue names no colour.")
    known = pseudonym(project.pk, annotator.pk)
    assert f"Sent back: {known} gets the task next" in page.content.decode()
    assert not Ranking.objects.exists()
    assert queue.claim_next(project=project, by=annotator) == ranked
    ranked.refresh_from_db()
    assert ranked.status == SeatStatus.HELD
    assert ranked.expires_at > timezone.now() + timedelta(days=6)
    html = bob.get(ranked.get_absolute_url()).content.decode()
    assert "Blue names no colour." in html
    assert "Redo submission" not in html
    ranked.refresh_from_db()
    assert ranked.expires_at > timezone.now() + timedelta(days=6)  # looking does not shorten it
    assert "Blue names no colour." in bob.get(MINE).content.decode()
    assert bob.post(f"{ranked.get_absolute_url()}redo/").status_code == 409
    submit(bob, ranked, tiers=[[pk] for pk in ranked.shown_order], rationale="corrected")
    assert Ranking.objects.get().rationale == "corrected"
    revision = Revision.objects.get()
    assert revision.closed_at
    assert revision.answer["rationale"] == "b is kind"
    assert "Sent back for correction" not in bob.get(MINE).content.decode()
    assert "Sent back by rita" in bob.get(f"{MINE}{ranked.key}/").content.decode()
    assert AuditEvent.objects.get(action="sent-back").subject == annotator


@pytest.mark.parametrize("status", [SeatStatus.HELD, SeatStatus.SKIPPED])
def test_only_what_is_submitted_is_sent_back(rita, ranked, status):
    times = {"finished_at": None, "expires_at": timezone.now()} if status == SeatStatus.HELD else {}
    Assignment.objects.filter(pk=ranked.pk).update(status=status, **times)
    assert send_back(rita, ranked).status_code == 404
    assert Ranking.objects.exists()


def test_sending_back_needs_a_reason_and_an_author_who_is_there(rita, ranked, project, annotator):
    assert "Write what should be corrected" in send_back(rita, ranked, "  ").content.decode()
    project.memberships.filter(user=annotator).delete()
    assert "is no longer a member" in send_back(rita, ranked).content.decode()
    assert Ranking.objects.exists()
    assert not Revision.objects.exists()


def test_nobody_sends_back_their_own_annotation_or_an_annotators_to_themselves(bob, ranked, project, annotator):
    assert send_back(bob, ranked).status_code == 403
    project.memberships.filter(user=annotator).update(role=Role.REVIEWER)
    assert "your own" in send_back(bob, ranked).content.decode()


def test_a_response_that_others_rank_is_not_sent_back(rita, bob, project, annotator, open_ranking_task):
    task = open_ranking_task(kind="reference")
    seat = queue.claim_next(project=project, by=annotator)
    submit(bob, seat, text="A better one.")
    written = Completion.objects.get(source="person")
    tasks.open_task(prompt=task.prompt, kind="ranking", candidates=[written, task.candidates.first()], seats=1)
    assert "already rank the response" in send_back(rita, seat).content.decode()
    assert ReferenceAnswer.objects.exists()
    assert not Revision.objects.exists()


def test_a_late_annotation_gets_a_seat_of_its_own(rita, bob, ranked, admin):
    Assignment.objects.filter(pk=ranked.pk).update(status=SeatStatus.LATE)
    other = Assignment.objects.create(
        task=ranked.task,
        project=ranked.project,
        seat_number=1,
        status=SeatStatus.DONE,
        annotator=admin,
        finished_at=timezone.now(),
    )
    send_back(rita, ranked)
    ranked.refresh_from_db()
    assert (ranked.status, ranked.seat_number, ranked.task.seats) == (SeatStatus.HELD, 2, 2)
    other.refresh_from_db()
    assert other.status == SeatStatus.DONE


def test_a_correction_that_is_skipped_is_closed(bob, rita, ranked):
    send_back(rita, ranked)
    bob.post(f"{ranked.get_absolute_url()}skip/", {"reason": "I cannot say"})
    assert Revision.objects.get().closed_at
    assert "Sent back for correction" not in bob.get(MINE).content.decode()
    assert "I cannot say" in bob.get(f"{MINE}{ranked.key}/").content.decode()
