"""A reviewer who may yet judge a task sees nobody else's judgment of it."""

from __future__ import annotations

import uuid

import pytest
from django.contrib.auth.models import User

from annotation.actions import judgments, queue
from annotation.models import Membership, Role

pytestmark = [pytest.mark.django_db, pytest.mark.database]
RANKINGS = "/api/v1/projects/letters/rankings/"


@pytest.fixture
def rita(project) -> User:
    user = User.objects.create_user("rita")
    Membership.objects.create(project=project, user=user, role=Role.REVIEWER)
    return user


@pytest.fixture
def task(project, annotator, open_ranking_task):
    """Two people are asked; bob has answered, with a rationale that nobody else would write."""
    task = open_ranking_task(["A", "B", "C"], seats=2)
    judge(queue.claim_next(project=project, by=annotator), rationale="Bob says so.")
    return task


def judge(seat, rationale: str = ""):
    answer = {"tiers": [[pk] for pk in seat.shown_order], "unacceptable": [], "rationale": rationale}
    judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=900)


def count(client) -> int:
    return len(client.get(RANKINGS).json()["results"])


def test_votes_are_hidden_until_the_own_judgment_is_in(task, rita, as_user, project):
    client, address = as_user(rita), f"/projects/letters/review/{task.pk}/"
    page = client.get(address).content.decode()
    assert "You may judge this task yourself" in page
    assert "bob" not in page.lower()
    assert count(client) == 0
    seat = queue.claim_next(project=project, by=rita)
    page = client.get(address).content.decode()
    assert seat.get_absolute_url() in page
    assert "Bob says so." not in page
    assert client.post(address, {"look": "1"}, follow=True).status_code == 200
    assert "Bob says so." not in client.get(address).content.decode()
    assert count(client) == 0
    judge(seat)
    assert "Bob says so." in client.get(address).content.decode()
    assert count(client) == 2


def test_who_looks_is_not_asked_any_more(task, rita, as_user, project):
    client, address = as_user(rita), f"/projects/letters/review/{task.pk}/"
    assert client.post(address, {"place_1": "1"}).status_code == 409  # nor is a task decided unseen
    assert client.post(address, {"look": "1"}).status_code == 302
    assert "Bob says so." in client.get(address).content.decode()
    assert count(client) == 1
    assert queue.claim_next(project=project, by=rita) is None
    other = User.objects.create_user("dora")
    Membership.objects.create(project=project, user=other, role=Role.ANNOTATOR)
    assert queue.claim_next(project=project, by=other).task == task


def test_a_task_that_is_full_is_open_to_review(project, annotator, rita, as_user, open_ranking_task):
    task = open_ranking_task(["A", "B", "C"])
    judge(queue.claim_next(project=project, by=annotator), rationale="Bob says so.")
    assert "Bob says so." in as_user(rita).get(f"/projects/letters/review/{task.pk}/").content.decode()
    assert count(as_user(rita)) == 1


def test_an_admin_gets_all_rows_over_the_api(task, admin, as_user):
    assert count(as_user(admin)) == 1
