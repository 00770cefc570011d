"""Taking back what one submitted last: it comes back as a draft, or it stays and one is told why."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from annotation.actions import snapshots, tasks
from annotation.models import Assignment, Completion, Ranking, ReferenceAnswer, SeatStatus
from annotation.opaque import number_of
from tests.answers import as_shown

pytestmark = [pytest.mark.django_db, pytest.mark.database]

UNDO = "/projects/letters/undo/"


@pytest.fixture
def claim(bob):
    def claim() -> Assignment:
        address = bob.post("/projects/letters/annotate/").headers["Location"]
        return Assignment.objects.get(pk=number_of(int(address.rstrip("/").rsplit("/", 1)[1]), "assignment"))

    return claim


def submit(client, seat, **answer):
    encoded = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in as_shown(seat, answer).items()
    }
    response = client.post(f"{seat.get_absolute_url()}submit/", {"client_uuid": str(uuid.uuid4()), **encoded})
    assert response.status_code == 302


@pytest.fixture
def ranked(bob, claim, open_ranking_task) -> Assignment:
    open_ranking_task()
    seat = claim()
    a, b, c, d = seat.shown_order
    submit(bob, seat, tiers=[[b], [a, c], [d]], unacceptable=[d], rationale="b is kind")
    return seat


def test_a_ranking_comes_back_as_the_draft_that_it_was(bob, ranked):
    response = bob.post(UNDO)
    assert response.status_code == 302
    assert response.headers["Location"] == ranked.get_absolute_url()
    ranked.refresh_from_db()
    assert ranked.status == SeatStatus.HELD
    assert ranked.expires_at > timezone.now()
    assert ranked.draft["tiers"] == [[2], [1, 3], [4]]
    assert ranked.draft["unacceptable"] == [4]
    assert ranked.draft["rationale"] == "b is kind"
    assert Ranking.objects.count() == 0


def test_what_was_taken_back_can_be_submitted_again(bob, ranked):
    bob.post(UNDO)
    submit(bob, ranked, tiers=[[pk] for pk in ranked.shown_order])
    assert Ranking.objects.get().tiers == [[pk] for pk in ranked.shown_order]


def test_a_seat_claimed_meanwhile_keeps_its_draft_and_comes_afterwards(bob, ranked, claim, open_ranking_task):
    open_ranking_task()
    following = claim()
    draft = json.dumps({"rationale": "so far"})
    bob.post(f"{following.get_absolute_url()}draft/", {"draft": draft, "active_ms": "5"})
    bob.post(UNDO)
    assert claim() == ranked
    submit(bob, ranked, tiers=[[pk] for pk in ranked.shown_order])
    again = claim()
    assert again == following
    assert again.draft == {"rationale": "so far"}


def test_a_reference_answer_comes_back_as_text(bob, claim, open_ranking_task):
    task = open_ranking_task(kind="reference")
    seat, origin = claim(), task.candidates.first()
    submit(bob, seat, text="A better one.", derived_from=origin.pk)
    bob.post(UNDO)
    seat.refresh_from_db()
    assert (seat.draft["text"], seat.draft["derived_from"]) == ("A better one.", seat.number_of(origin.pk))
    assert ReferenceAnswer.objects.count() == 0
    assert Completion.objects.filter(source="person").count() == 0


def test_an_answer_that_others_are_asked_about_stays(bob, claim, open_ranking_task, policy):
    task = open_ranking_task(kind="reference")
    submit(bob, claim(), text="A better one.")
    written = Completion.objects.get(source="person")
    tasks.open_task(prompt=task.prompt, kind="ranking", candidates=[written, task.candidates.first()], seats=1)
    response = bob.post(UNDO)
    assert response.status_code == 409
    assert "already rank the response" in response.content.decode()
    assert ReferenceAnswer.objects.count() == 1


def test_what_is_in_a_snapshot_stays(bob, ranked, project):
    snapshots.take_snapshot(project=project, by=None)
    response = bob.post(UNDO)
    assert response.status_code == 409
    assert "already in snapshot 1" in response.content.decode()
    assert Ranking.objects.count() == 1


def test_after_ten_minutes_it_stays(bob, ranked):
    assert "Undo last" in bob.get("/projects/letters/annotate/").content.decode()
    Assignment.objects.filter(pk=ranked.pk).update(finished_at=timezone.now() - timedelta(minutes=10, seconds=1))
    assert "Undo last" not in bob.get("/projects/letters/annotate/").content.decode()
    response = bob.post(UNDO)
    assert response.status_code == 409
    assert "nothing to undo" in response.content.decode()
    assert Ranking.objects.count() == 1


def test_nobody_takes_back_what_somebody_else_said(ranked, admin, as_user):
    assert as_user(admin).post(UNDO).status_code == 409
    assert Ranking.objects.count() == 1


def test_late_work_that_is_taken_back_leaves_the_seat_with_who_has_it(bob, ranked, admin):
    Assignment.objects.filter(pk=ranked.pk).update(status=SeatStatus.LATE)
    Assignment.objects.create(
        task=ranked.task,
        project=ranked.project,
        seat_number=1,
        status=SeatStatus.HELD,
        annotator=admin,
        expires_at=timezone.now() + timedelta(minutes=5),
    )
    bob.post(UNDO)
    ranked.refresh_from_db()
    assert ranked.status == SeatStatus.LAPSED
    submit(bob, ranked, tiers=[[pk] for pk in ranked.shown_order])
    ranked.refresh_from_db()
    assert ranked.status == SeatStatus.LATE


def test_a_program_undoes_over_the_api(bob, ranked):
    seat = bob.post("/api/v1/projects/letters/tasks/undo/").json()
    assert seat["id"] == ranked.key
    assert seat["draft"]["rationale"] == "b is kind"
    again = bob.post("/api/v1/projects/letters/tasks/undo/")
    assert again.status_code == 409
    assert "nothing to undo" in again.json()["detail"]
