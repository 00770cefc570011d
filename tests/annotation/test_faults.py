"""What goes wrong between a person and the queue: each time a clear message, and nothing that they did is lost."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from annotation.models import Assignment, Completion, Membership, Project, Ranking, ReferenceAnswer, Role, SeatStatus
from annotation.opaque import number_of
from tests.answers import as_shown

pytestmark = pytest.mark.django_db

PAGE = "/projects/letters"
DRAFT = {"tiers": [], "rationale": "half a thought"}


@pytest.fixture
def carol(project, stranger, as_user) -> Client:
    Membership.objects.create(project=project, user=stranger, role=Role.ANNOTATOR)
    return as_user(stranger)


@pytest.fixture
def claim(project):
    def claim(client: Client) -> Assignment:
        address = client.post(f"{PAGE}/annotate/").headers["Location"]
        return Assignment.objects.get(pk=number_of(int(address.rstrip("/").rsplit("/", 1)[1]), "assignment"))

    return claim


def submit(client: Client, seat: Assignment, **fields):
    answer = {"tiers": json.dumps([[pk] for pk in seat.shown_order]), "client_uuid": str(uuid.uuid4()), **fields}
    return client.post(f"{seat.get_absolute_url()}submit/", as_shown(seat, answer))


def save_draft(client: Client, seat: Assignment, draft: object = DRAFT):
    body = draft if isinstance(draft, str) else json.dumps(draft)
    return client.post(f"{seat.get_absolute_url()}draft/", {"draft": body, "active_ms": "10"})


def let_lapse(seat: Assignment) -> None:
    Assignment.objects.filter(pk=seat.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def text_of(response) -> str:
    return response.content.decode().replace("&#x27;", "'")


def test_a_seat_that_expired_and_went_to_somebody_else_still_takes_the_work(bob, carol, claim, open_ranking_task):
    open_ranking_task()
    seat = claim(bob)
    save_draft(bob, seat)
    let_lapse(seat)
    other = claim(carol)
    assert other.task == seat.task
    assert save_draft(bob, seat).json()["status"] == "lapsed"
    assert submit(bob, seat).status_code == 302
    assert submit(carol, other).status_code == 302
    assert Ranking.objects.count() == 2
    assert "an additional annotation" in text_of(bob.get(seat.get_absolute_url()))


def test_a_second_submit_of_the_same_answer_is_no_second_judgment(bob, claim, open_ranking_task):
    open_ranking_task()
    seat, client_uuid = claim(bob), str(uuid.uuid4())
    assert [submit(bob, seat, client_uuid=client_uuid).status_code for _ in range(3)] == [302, 302, 302]
    assert Ranking.objects.count() == 1


def test_a_uuid_belongs_to_its_assignment_so_that_nobody_can_use_up_anothers(bob, claim, open_ranking_task):
    open_ranking_task()
    open_ranking_task()
    client_uuid = str(uuid.uuid4())
    for _ in range(2):
        assert submit(bob, claim(bob), client_uuid=client_uuid).status_code == 302
    assert Ranking.objects.count() == 2


def test_a_retry_that_says_something_else_is_refused_in_words(bob, claim, open_ranking_task):
    open_ranking_task()
    seat, client_uuid = claim(bob), str(uuid.uuid4())
    submit(bob, seat, client_uuid=client_uuid)
    stored = Ranking.objects.get().tiers
    response = submit(bob, seat, client_uuid=client_uuid, tiers=json.dumps(stored[::-1]))
    assert response.status_code == 409
    assert "tiers differ from the stored one" in text_of(response)
    assert Ranking.objects.get().tiers == stored


def test_a_retry_with_the_rest_of_a_text_is_no_success(bob, claim, open_ranking_task):
    open_ranking_task(kind="reference")
    seat, client_uuid = claim(bob), str(uuid.uuid4())
    half = {"text": "The first half.", "client_uuid": client_uuid}
    address = f"{seat.get_absolute_url()}submit/"
    assert bob.post(address, half).status_code == 302
    assert bob.post(address, half).status_code == 302
    whole = bob.post(address, {**half, "text": "The first half. And the second."})
    assert whole.status_code == 409
    assert "text differ from the stored one" in text_of(whole)


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        (lambda o: [o[:1]], "3 responses not ranked yet"),
        (lambda o: [o, o[:1]], "a response twice"),
        (lambda o: [[*o, 999999]], "not in this task"),
    ],
)
def test_a_malformed_ranking_is_refused_and_the_draft_stays(bob, claim, open_ranking_task, tiers, message):
    open_ranking_task()
    seat = claim(bob)
    save_draft(bob, seat)
    response = submit(bob, seat, tiers=json.dumps(tiers(seat.shown_order)))
    assert response.status_code == 422
    assert message in text_of(response)
    seat.refresh_from_db()
    assert (seat.status, seat.draft) == (SeatStatus.HELD, DRAFT)


def test_a_closed_project_gives_no_tasks_but_takes_what_is_held(bob, carol, claim, admin, as_user, open_ranking_task):
    open_ranking_task()
    open_ranking_task()
    seat, boss = claim(bob), as_user(admin)
    boss.post(f"{PAGE}/close/")
    assert "This project is closed" in text_of(carol.post(f"{PAGE}/annotate/", follow=True))
    refused = carol.post("/api/v1/projects/letters/tasks/claim/")
    assert refused.status_code == 409
    assert "closed" in refused.json()["detail"]
    assert save_draft(bob, seat).status_code == 200
    after = bob.post(
        f"{seat.get_absolute_url()}submit/",
        {"tiers": json.dumps([[1], [2], [3], [4]]), "client_uuid": str(uuid.uuid4())},
        headers={"HX-Request": "true"},
    )
    assert after.status_code == 200
    assert "This project is closed" in text_of(after)
    assert Ranking.objects.count() == 1
    boss.post(f"{PAGE}/reopen/")
    assert claim(carol).status == SeatStatus.HELD


def test_who_is_no_member_any_more_sees_nothing_and_loses_nothing(
    bob, carol, claim, annotator, project, open_ranking_task
):
    open_ranking_task()
    seat = claim(bob)
    save_draft(bob, seat)
    Membership.objects.filter(user=annotator).delete()
    for response in (submit(bob, seat), save_draft(bob, seat), bob.get(seat.get_absolute_url())):
        assert response.status_code == 404
    seat.refresh_from_db()
    assert (seat.status, seat.draft) == (SeatStatus.HELD, DRAFT)
    assert carol.post(f"{PAGE}/annotate/").headers["Location"] == f"{PAGE}/annotate/?looked"
    let_lapse(seat)
    assert claim(carol).task == seat.task
    Membership.objects.create(project=project, user=annotator, role=Role.ANNOTATOR)
    assert "half a thought" in text_of(bob.get(seat.get_absolute_url()))
    assert submit(bob, seat).status_code == 302


def test_an_answer_of_two_megabytes_is_refused_by_its_limit(bob, claim, open_ranking_task):
    open_ranking_task(kind="reference")
    seat, much = claim(bob), "word " * 400_000
    response = bob.post(f"{seat.get_absolute_url()}submit/", {"text": much, "client_uuid": str(uuid.uuid4())})
    assert response.status_code == 422
    assert "at most 20000 characters" in text_of(response)
    draft = save_draft(bob, seat, {"text": much})
    assert draft.status_code == 400
    assert "100,000 characters" in draft.json()["errors"]["draft"][0]
    assert Completion.objects.filter(source="person").count() == 0


WRITTEN = [
    ("family: 👩‍👩‍👧‍👦 and a flag: 🏳️‍🌈", "family: 👩‍👩‍👧‍👦 and a flag: 🏳️‍🌈"),
    ("مرحبا بالعالم \u200fהלום", "مرحبا بالعالم \u200fהלום"),
    ("one\x00two\x07three\x1b[31m\x9f", "onetwothree[31m"),
    ("tab\tand\r\nline", "tab\tand\nline"),
]


@pytest.mark.parametrize(("written", "kept"), WRITTEN)
def test_text_is_kept_as_it_was_written_without_control_characters(bob, claim, open_ranking_task, written, kept):
    open_ranking_task(kind="reference")
    seat = claim(bob)
    assert save_draft(bob, seat, {"text": written}).status_code == 200
    response = bob.post(f"{seat.get_absolute_url()}submit/", {"text": written, "client_uuid": str(uuid.uuid4())})
    assert response.status_code == 302
    assert ReferenceAnswer.objects.get().completion.text == kept


def test_control_characters_do_no_harm_anywhere_a_person_writes(bob, claim, annotator, open_ranking_task):
    open_ranking_task()
    open_ranking_task()
    seat = claim(bob)
    bob.post(f"{seat.get_absolute_url()}flag/", {"reason": "other", "note": "no\x00te"})
    assert submit(bob, seat, rationale="be\x00cause").status_code == 302
    assert Ranking.objects.get().rationale == "because"
    assert annotator.flags.get().note == "note"
    bob.post(f"{claim(bob).get_absolute_url()}skip/", {"reason": "too\x00 hard"})
    assert Assignment.objects.get(status=SeatStatus.SKIPPED).skip_reason == "too hard"


@pytest.mark.parametrize("draft", ['{"text": "\\u0000 and \\ud83d"}', '{"a\\u0000": ["\\u0001"]}'])
def test_escaped_control_characters_in_a_draft_are_left_out(bob, claim, open_ranking_task, draft):
    open_ranking_task()
    seat = claim(bob)
    assert save_draft(bob, seat, draft).status_code == 200
    seat.refresh_from_db()
    assert seat.draft in ({"text": " and "}, {"a": [""]})


@pytest.mark.parametrize("draft", ['{"a": NaN}', '{"a": 1e999}', '{"a": ' + "[" * 20_000])
def test_a_draft_that_is_no_json_is_refused(bob, claim, open_ranking_task, draft):
    open_ranking_task()
    seat = claim(bob)
    assert save_draft(bob, seat, draft).status_code == 400


def test_brackets_without_end_are_no_ranking(bob, claim, open_ranking_task):
    open_ranking_task()
    seat = claim(bob)
    assert submit(bob, seat, tiers="[" * 100_000).status_code == 422


def test_brackets_without_end_are_no_body(bob, claim, open_ranking_task):
    open_ranking_task()
    address = f"/api/v1/projects/letters/assignments/{claim(bob).key}/submit/"
    assert bob.post(address, "[" * 100_000, content_type="application/json").status_code == 400


def test_an_escaped_nul_in_the_api_does_no_harm(bob, claim, open_ranking_task):
    open_ranking_task()
    seat = claim(bob)
    body = {"client_uuid": str(uuid.uuid4()), "tiers": [[1], [2], [3], [4]], "rationale": "a\x00b\ud800"}
    response = bob.post(
        f"/api/v1/projects/letters/assignments/{seat.key}/submit/", json.dumps(body), content_type="application/json"
    )
    assert response.status_code == 200
    assert Ranking.objects.get().rationale == "ab"


def test_script_in_model_text_stays_text(bob, claim, open_ranking_task, project):
    Project.objects.filter(pk=project.pk).update(guidelines="<script>alert('g')</script>")
    open_ranking_task(["<script>alert('a')</script>", "<svg onload=alert(1)>"], kind="reference")
    seat = claim(bob)
    save_draft(bob, seat, {"text": "</textarea></script><script>alert('d')</script>"})
    page = bob.get(seat.get_absolute_url())
    assert "<script>alert" not in page.content.decode()
    assert "<svg onload" not in page.content.decode()
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"]
