"""The annotator's pages over HTTP, without a browser: what is stored, what is refused and in which words."""

from __future__ import annotations

import json
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation.models import Assignment, Completion, Ranking, ReferenceAnswer, SeatStatus
from tests.answers import as_shown

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def seat(bob, project, open_ranking_task) -> Assignment:
    open_ranking_task()
    bob.post(f"/projects/{project.slug}/annotate/")
    return Assignment.objects.get(status=SeatStatus.HELD)


def submit(client, seat: Assignment, *, htmx: bool = False, **fields):
    encoded = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in as_shown(seat, fields).items()
    }
    headers = {"HX-Request": "true"} if htmx else {}
    return client.post(
        f"{seat.get_absolute_url()}submit/",
        {"client_uuid": str(uuid.uuid4()), "active_ms": "1500", **encoded},
        headers=headers,
    )


def test_a_ranking_with_a_tie_and_a_line_is_stored_as_it_was_made(bob, seat):
    a, b, c, d = seat.shown_order
    submit(bob, seat, tiers=[[c], [a, d], [b]], unacceptable=[b], rationale="c is kind")
    ranking = Ranking.objects.get()
    assert ranking.tiers == [[c], [a, d], [b]]
    assert ranking.unacceptable == [b]
    assert ranking.rationale == "c is kind"
    seat.refresh_from_db()
    assert seat.status == SeatStatus.DONE
    assert seat.active_ms == 1500


def test_the_next_task_comes_as_a_fragment_with_its_address(bob, seat, open_ranking_task):
    open_ranking_task(["One.", "Two."])
    response = submit(bob, seat, htmx=True, tiers=[[pk] for pk in seat.shown_order])
    following = Assignment.objects.get(status=SeatStatus.HELD)
    assert response.headers["HX-Push-Url"] == following.get_absolute_url()
    assert b"<html" not in response.content


def test_a_submit_with_the_next_task_asks_the_database_sixteen_times(bob, seat, open_ranking_task):
    """Session, account, own assignment; four to store; six to claim and two to read the next; two for the page."""
    for _ in range(40):
        open_ranking_task(["One.", "Two."])
    submit(bob, seat, htmx=True, tiers=[[pk] for pk in seat.shown_order])  # composes what is composed once
    held = Assignment.objects.select_related("project").get(status=SeatStatus.HELD)
    with CaptureQueriesContext(connection) as asked:
        answer = submit(bob, held, htmx=True, tiers=[[pk] for pk in held.shown_order])
    assert answer.status_code == 200
    statements = [query["sql"] for query in asked if query["sql"].lstrip().startswith(("SELECT", "INSERT", "UPDATE"))]
    assert len(statements) <= 16, "\n".join(statements)


def test_without_htmx_a_submit_redirects(bob, seat):
    response = submit(bob, seat, tiers=[[pk] for pk in seat.shown_order])
    assert response.status_code == 302
    assert response.headers["Location"] == "/projects/letters/annotate/?looked"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: {"tiers": ""}, "Rank all responses."),
        (lambda o: {"tiers": [[o[0]], [o[1]]]}, "2 responses not ranked yet"),
        (lambda o: {"tiers": [o, [o[0]]]}, "a response twice"),
        (lambda o: {"tiers": [o, [999999]]}, "not in this task"),
        (lambda o: {"tiers": [o, []]}, "none of them empty"),
        (lambda o: {"tiers": {"a": 1}}, "lists of response IDs"),
        (lambda o: {"tiers": [[str(pk) for pk in o]]}, "lists of response IDs"),
        (lambda o: {"tiers": "not json"}, "valid JSON"),
        (lambda o: {"tiers": [[pk] for pk in o], "unacceptable": [o[0]]}, "cannot be ranked above"),
        (lambda o: {"tiers": [[o[0]], o[1:]], "unacceptable": [o[1]]}, "either all acceptable or all unacceptable"),
        (lambda o: {"tiers": [o], "unacceptable": [999999]}, "IDs of this task"),
        (lambda o: {"tiers": [o], "client_uuid": "x"}, "valid UUID"),
    ],
)
def test_what_is_no_ranking_is_refused_in_words_and_nothing_is_lost(bob, seat, change, message):
    bob.post(f"{seat.get_absolute_url()}draft/", {"draft": '{"tiers": [[1]]}', "active_ms": "10"})
    response = submit(bob, seat, **change(seat.shown_order))
    assert response.status_code == 422
    assert message in response.content.decode().replace("&#x27;", "'")
    seat.refresh_from_db()
    assert seat.status == SeatStatus.HELD
    assert seat.draft == {"tiers": [[1]]}
    assert Ranking.objects.count() == 0


def test_the_same_submit_twice_is_one_judgment(bob, seat):
    tiers, client_uuid = [[pk] for pk in seat.shown_order], str(uuid.uuid4())
    first = submit(bob, seat, tiers=tiers, client_uuid=client_uuid)
    second = submit(bob, seat, tiers=tiers, client_uuid=client_uuid)
    assert first.status_code == second.status_code == 302
    assert Ranking.objects.count() == 1


def test_another_answer_to_a_finished_task_is_refused(bob, seat):
    tiers = [[pk] for pk in seat.shown_order]
    submit(bob, seat, tiers=tiers)
    response = submit(bob, seat, tiers=tiers[::-1])
    assert response.status_code == 409
    assert "This annotation is final" in response.content.decode()
    assert Ranking.objects.get().tiers == tiers


def test_a_reference_answer_becomes_a_completion_by_its_author(bob, annotator, project, open_ranking_task):
    task = open_ranking_task(["A short text", "Another"], kind="reference")
    bob.post(f"/projects/{project.slug}/annotate/")
    seat = Assignment.objects.get(status=SeatStatus.HELD)
    origin = task.candidates.first()
    submit(bob, seat, text="  A much better text.\r\n", derived_from=origin.pk)
    reference = ReferenceAnswer.objects.get()
    assert reference.completion.text == "A much better text."
    assert reference.completion.author == annotator
    assert reference.completion.source == "person"
    assert reference.derived_from == origin


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "   "}, "Write a response."),
        ({"text": "x" * 20_001}, "at most 20000 characters"),
        ({"text": "Fine.", "derived_from": "999999"}, "a response of this task"),
    ],
)
def test_what_is_no_reference_answer_is_refused(bob, project, open_ranking_task, fields, message):
    open_ranking_task(["A", "B"], kind="reference")
    bob.post(f"/projects/{project.slug}/annotate/")
    response = submit(bob, Assignment.objects.get(status=SeatStatus.HELD), **fields)
    assert response.status_code == 422
    assert message in response.content.decode()
    assert Completion.objects.filter(source="person").count() == 0


def test_an_unchanged_candidate_is_no_reference_answer(bob, project, open_ranking_task):
    task = open_ranking_task(["The very text.", "B"], kind="reference")
    bob.post(f"/projects/{project.slug}/annotate/")
    seat = Assignment.objects.get(status=SeatStatus.HELD)
    origin = task.candidates.get(text="The very text.")
    response = submit(bob, seat, text="The very text.", derived_from=str(origin.pk))
    assert response.status_code == 422
    assert "unchanged" in response.content.decode()


def test_a_draft_says_when_it_was_saved_and_how_long_the_seat_is_held(bob, seat):
    response = bob.post(f"{seat.get_absolute_url()}draft/", {"draft": '{"tiers": []}', "active_ms": "10"})
    assert response.status_code == 200
    assert set(response.json()) == {"saved_at", "expires_at", "status"}
    for broken in ({"draft": "[]", "active_ms": "1"}, {"draft": "{}", "active_ms": "-1"}, {}):
        assert bob.post(f"{seat.get_absolute_url()}draft/", broken).status_code == 400


def test_model_text_cannot_become_markup(bob, project, open_ranking_task):
    open_ranking_task(['<script>alert(1)</script><img src=x onerror="x()">', "[x](javascript:alert(1)) **bold**"])
    bob.post(f"/projects/{project.slug}/annotate/")
    page = bob.get(Assignment.objects.get(status=SeatStatus.HELD).get_absolute_url())
    html = page.content.decode()
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert 'href="javascript:' not in html
    assert "<strong>bold</strong>" in html
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
