"""A new annotator practises first: feedback after each task, a pass mark, then the queue."""

from __future__ import annotations

import json
import uuid

import pytest

from annotation.actions import quality
from annotation.models import Assignment, GoldAnswer, Membership, PracticeRound, Ranking, SeatStatus
from tests.annotation.test_quality import rank
from tests.answers import as_shown

pytestmark = pytest.mark.django_db
PAGE = "/projects/letters/practice/"


@pytest.fixture
def lessons(project, admin, judge, open_ranking_task, make_prompt):
    """Two practice tasks with known orders, and one task in the queue."""
    project.practice_first, project.practice_pass = True, 0.6
    project.save()
    Membership.objects.filter(user=judge).update(practice_passed_at="2026-01-01T00:00Z")
    for number in (1, 2):
        task = open_ranking_task(["A", "B", "C"], prompt=make_prompt(f"Lesson {number}"))
        rank(project, judge)
        tiers = [[pk] for pk in task.candidates.order_by("text").values_list("pk", flat=True)]
        quality.adjudicate(task=task, tiers=tiers, unacceptable=[], note="", by=admin)
        quality.mark_gold(task=task, by=admin, note=f"**Kind** words win in lesson {number}.", practice=True)
    return open_ranking_task(["X", "Y"], prompt=make_prompt("Real work"))


def held(annotator) -> Assignment:
    return Assignment.objects.get(annotator=annotator, status=SeatStatus.HELD)


def practise(client, annotator, order, *, htmx=False):
    """Open the next practice task and hand in the answers in the order of their texts."""
    client.post(PAGE)
    seat = held(annotator)
    texts = dict(seat.task.candidates.values_list("text", "pk"))
    fields = {"tiers": json.dumps([[texts[text]] for text in order]), "client_uuid": uuid.uuid4(), "active_ms": 5}
    headers = {"HX-Request": "true"} if htmx else {}
    return client.post(f"{seat.get_absolute_url()}submit/", as_shown(seat, fields), headers=headers)


def test_somebody_new_is_sent_to_practice_by_page_and_api(bob, lessons):
    assert bob.post("/projects/letters/annotate/").headers["Location"] == PAGE
    refused = bob.post("/api/v1/projects/letters/tasks/claim/")
    assert refused.status_code == 409
    assert "practice" in refused.json()["detail"]


def test_each_answer_is_held_against_the_known_order_at_once(bob, annotator, lessons):
    response = practise(bob, annotator, "BAC")
    assert response.headers["Location"] == PAGE
    page = bob.get(PAGE).content.decode()
    assert "2 of 3 pairs match" in page
    assert "The expert ranking has response" in page
    assert "you ranked them the other way round" in page
    assert "<strong>Kind</strong> words win in lesson 1." in page
    assert "1 done in this attempt, 1 left" in page


def test_htmx_is_sent_there_whole(bob, annotator, lessons):
    response = practise(bob, annotator, "ABC", htmx=True)
    assert response.headers["HX-Redirect"] == PAGE


def test_who_passes_gets_into_the_queue(bob, annotator, lessons):
    practise(bob, annotator, "ABC")
    practise(bob, annotator, "BAC")
    page = bob.get(PAGE).content.decode()
    # 3 + 2 of 6 pairs; 60 % were needed.
    assert "You agreed on 5 of 6 pairs" in page
    assert "Passed" in page
    bob.post("/projects/letters/annotate/")
    assert held(annotator).task == lessons


def test_who_does_not_pass_goes_round_again(bob, annotator, lessons):
    practise(bob, annotator, "CBA")
    practise(bob, annotator, "ABC")
    page = bob.get(PAGE).content.decode()
    assert "Not passed yet" in page
    assert "3 of 6 pairs" in page
    assert bob.post("/projects/letters/annotate/").headers["Location"] == PAGE
    practise(bob, annotator, "ABC")
    practise(bob, annotator, "ABC")
    assert [(round.agreed, round.passed) for round in PracticeRound.objects.all()] == [(3, False), (6, True)]
    bob.post("/projects/letters/annotate/")
    assert held(annotator).task == lessons
    assert "50.0%, 100.0% (passed)" in " ".join(bob.get("/projects/letters/mine/").content.decode().split())


def test_a_skipped_practice_task_comes_again(bob, annotator, lessons):
    bob.post(PAGE)
    seat = held(annotator)
    assert bob.post(f"{seat.get_absolute_url()}skip/", {"reason": "later"}).headers["Location"] == PAGE
    bob.post(PAGE)
    assert held(annotator).task.repeat_of == seat.task.repeat_of


def test_practice_is_no_vote_and_no_finished_work(bob, annotator, admin, as_user, lessons):
    practise(bob, annotator, "CBA")
    assert Ranking.objects.count() == 3
    figures = as_user(admin).get("/api/v1/projects/letters/quality/").json()
    assert figures["rankings"] == 2
    assert "Lesson 1" not in bob.get("/projects/letters/mine/").content.decode()


def test_without_practice_tasks_nobody_is_kept_from_the_queue(project, bob, annotator, admin, as_user, lessons):
    client = as_user(admin)
    for gold in GoldAnswer.objects.all():
        client.post(f"/projects/letters/known/{gold.task_id}/practice/", {"practice": "0"})
    bob.post("/projects/letters/annotate/")
    assert held(annotator).task == lessons


def test_reviewers_and_admins_need_no_practice(project, admin, as_user, lessons):
    as_user(admin).post("/projects/letters/annotate/")
    assert held(admin).task == lessons


def test_the_same_submit_twice_finishes_one_round_once(bob, annotator, lessons):
    practise(bob, annotator, "ABC")
    bob.post(PAGE)
    seat = held(annotator)
    tiers = json.dumps([[pk] for pk in sorted(seat.shown_order)])
    fields = {"tiers": tiers, "client_uuid": str(uuid.uuid4()), "active_ms": 5}
    for _ in range(2):
        assert bob.post(f"{seat.get_absolute_url()}submit/", as_shown(seat, fields)).headers["Location"] == PAGE
    assert PracticeRound.objects.get().pairs == 6
