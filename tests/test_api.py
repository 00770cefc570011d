"""The API as a program uses it: a token, a task, an answer; and its own description."""

from __future__ import annotations

import json
import uuid

import pytest
from django.core.management import call_command
from django.test import Client

from annotation.actions.tokens import make_token
from annotation.models import Assignment, Ranking, Scope

pytestmark = pytest.mark.django_db

SEATS = "/api/v1/projects/letters/assignments"


def test_a_program_signs_in_with_a_token_claims_and_submits(project, annotator, open_ranking_task):
    open_ranking_task()
    _, token = make_token(user=annotator, name="a program", scopes=[Scope.ANNOTATE])
    program = Client(headers={"Authorization": f"Bearer {token}"})
    seat = program.post("/api/v1/projects/letters/tasks/claim/").json()
    assert {"id", "kind", "messages", "candidates", "expires_at"} <= set(seat)
    order = [candidate["id"] for candidate in seat["candidates"]]
    body = {"client_uuid": str(uuid.uuid4()), "tiers": [[pk] for pk in order], "unacceptable": order[-1:]}
    first = program.post(f"{SEATS}/{seat['id']}/submit/", body, content_type="application/json")
    again = program.post(f"{SEATS}/{seat['id']}/submit/", body, content_type="application/json")
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    ranking = Ranking.objects.get()
    shown = ranking.assignment.shown_order
    assert order == [1, 2, 3, 4]  # as they are shown: the rows' ids would say which answer was made when
    assert ranking.tiers == [[pk] for pk in shown]
    assert ranking.unacceptable == shown[-1:]
    other = program.post(
        f"{SEATS}/{seat['id']}/submit/", {**body, "client_uuid": str(uuid.uuid4())}, content_type="application/json"
    )
    assert other.status_code == 409
    assert program.post("/api/v1/projects/letters/tasks/claim/").status_code == 204


@pytest.mark.parametrize("body", ["[]", "7", '"text"'])
def test_a_body_that_is_no_object_is_refused_in_words(project, annotator, open_ranking_task, as_user, body):
    open_ranking_task()
    client = as_user(annotator)
    seat = client.post("/api/v1/projects/letters/tasks/claim/").json()
    response = client.post(f"{SEATS}/{seat['id']}/submit/", body, content_type="application/json")
    assert response.status_code == 400
    assert "JSON object" in str(response.json())


def test_the_rankings_tell_what_was_shown(project, ranked_task, admin, as_user):
    rows = as_user(admin).get("/api/v1/projects/letters/rankings/").json()["results"]
    assert len(rows) == 1
    assert sorted(rows[0]["shown_order"]) == sorted(pk for tier in rows[0]["tiers"] for pk in tier)
    assert rows[0]["active_ms"] == 900


def test_a_project_made_over_the_api_has_its_maker_as_admin(stranger, as_user, settings):
    settings.PROJECT_CREATORS = "all"
    client = as_user(stranger)
    made = client.post("/api/v1/projects/", {"name": "New ideas"}, content_type="application/json")
    assert made.status_code == 201
    assert made.json()["slug"] == "new-ideas"
    assert client.get("/api/v1/projects/new-ideas/prompts/").status_code == 200
    refused = client.post("/api/v1/projects/", {"name": "X", "candidates_per_task": 1}, content_type="application/json")
    assert refused.status_code == 400
    assert "candidates_per_task" in refused.json()


def test_the_openapi_description_is_whole(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))
    assert "/api/v1/projects/{slug}/tasks/claim/" in (tmp_path / "schema.yml").read_text()


@pytest.fixture
def many_prompts(project, make_prompt):
    return [make_prompt(f"Question {number}") for number in range(5)]


def texts(page: dict) -> list[str]:
    return [row["messages"][0]["content"] for row in page["results"]]


def test_a_list_comes_in_pages_that_rows_added_meanwhile_do_not_shift(many_prompts, admin, as_user, make_prompt):
    client = as_user(admin)
    first = client.get("/api/v1/projects/letters/prompts/?page_size=2").json()
    assert texts(first) == ["Question 0", "Question 1"]
    many_prompts[0].delete()
    make_prompt("Added meanwhile")
    second = client.get(first["next"]).json()
    assert texts(second) == ["Question 2", "Question 3"]
    third = client.get(second["next"]).json()
    assert texts(third) == ["Question 4", "Added meanwhile"]
    assert third["next"] is None
    assert texts(client.get(third["previous"]).json()) == ["Question 2", "Question 3"]


def test_the_newest_snapshot_comes_first(project, ranked_task, admin, as_user):
    client = as_user(admin)
    for _ in range(3):
        client.post("/api/v1/projects/letters/snapshots/", {}, content_type="application/json")
    page = client.get("/api/v1/projects/letters/snapshots/?page_size=2").json()
    assert [row["number"] for row in page["results"]] == [3, 2]
    assert [row["number"] for row in client.get(page["next"]).json()["results"]] == [1]


@pytest.mark.parametrize("size", ["0", "1001", "-1", "many", "9" * 30, "0000000010000", "²"])
def test_a_page_size_that_cannot_be_had_is_refused(project, admin, as_user, size):
    refused = as_user(admin).get("/api/v1/projects/letters/prompts/", {"page_size": size})
    assert refused.status_code == 400
    assert "from 1 to 1000" in str(refused.json()["page_size"])


def test_the_description_is_made_once_however_often_anybody_asks(client, monkeypatch):
    address, kinds = "/api/v1/schema/", ("application/vnd.oai.openapi", "application/vnd.oai.openapi+json")
    first = {kind: client.get(address, headers={"Accept": kind}) for kind in kinds}
    client.get(f"{address}?lang=zh-hans")

    def again(*_args: object, **_more: object) -> None:
        raise AssertionError("The description is made anew.")

    monkeypatch.setattr("drf_spectacular.generators.SchemaGenerator.get_schema", again)
    for kind, answer in first.items():
        repeated = client.get(address, headers={"Accept": kind})
        assert (repeated.status_code, repeated.content) == (200, answer.content)
        known = client.get(address, headers={"Accept": kind, "If-None-Match": answer.headers["ETag"]})
        assert (known.status_code, known.content) == (304, b"")
    assert first[kinds[0]].headers["ETag"] != first[kinds[1]].headers["ETag"]
    for odd in ("?lang=zh-hans", "?lang=xx", "?lang=../../etc", "?version=2", "?lang=en&version=%00", "?format=json"):
        assert client.get(f"{address}{odd}").status_code in (200, 404), odd


def test_the_description_has_the_cursor_and_the_size_of_a_page(client):
    document = client.get("/api/v1/schema/", headers={"Accept": "application/vnd.oai.openapi+json"}).json()
    lists = [
        operation["get"]
        for operation in document["paths"].values()
        if "get" in operation and operation["get"]["operationId"].endswith("_list")
    ]
    assert len(lists) >= 6
    for operation in lists:
        found = {each["name"]: each["schema"] for each in operation["parameters"]}
        assert "cursor" in found, operation["operationId"]
        assert found["page_size"]["maximum"] == 1000


def test_an_admin_changes_settings_and_members_over_the_api(project, admin, annotator, stranger, as_user):
    client = as_user(admin)
    changed = client.patch("/api/v1/projects/letters/", {"seats_per_task": 3}, content_type="application/json")
    assert changed.json()["seats_per_task"] == 3
    assert changed.json()["name"] == "Letters"
    refused = client.patch("/api/v1/projects/letters/", {"seats_per_task": 0}, content_type="application/json")
    assert "seats_per_task" in refused.json()
    members = "/api/v1/projects/letters/members/"
    added = client.post(members, {"username": "charlie", "role": "reviewer"}, content_type="application/json")
    assert added.json() == {"username": "charlie", "annotator_id": stranger.pk, "role": "reviewer"}
    assert as_user(stranger).get("/api/v1/projects/letters/prompts/").status_code == 200
    roles = {row["username"]: row["role"] for row in client.get(members).json()["results"]}
    assert roles == {"alice": "admin", "bob": "annotator", "charlie": "reviewer"}
    locked = client.post(members, {"username": "alice", "role": "reviewer"}, content_type="application/json")
    assert locked.status_code == 409
    assert "cannot change your own role" in locked.json()["detail"]
    unknown = client.post(members, {"username": "dora", "role": "reviewer"}, content_type="application/json")
    assert "There is no account" in str(unknown.json()["errors"]["username"])


def test_progress_counts_seats_of_all_and_of_the_caller(
    project, annotator, as_user, open_ranking_task, ranked_task, policy
):
    open_ranking_task(["One.", "Two."], seats=2)
    client = as_user(annotator)
    client.post("/api/v1/projects/letters/tasks/claim/")
    progress = client.get("/api/v1/projects/letters/progress/").json()
    assert progress == {
        "done": 1,
        "held": 1,
        "empty": 1,
        "more_done": False,
        "more_empty": True,  # at least
        "own_done": 0,
    }
    assert [row["number"] for row in client.get("/api/v1/projects/letters/policies/").json()["results"]] == [0]


def test_reference_answers_are_listed_for_reviewers(project, admin, annotator, as_user, make_prompt, open_ranking_task):
    open_ranking_task([], kind="reference")
    client = as_user(annotator)
    seat = client.post("/api/v1/projects/letters/tasks/claim/").json()
    body = {"client_uuid": str(uuid.uuid4()), "text": "What I would have liked to read."}
    client.post(f"{SEATS}/{seat['id']}/submit/", body, content_type="application/json")
    rows = as_user(admin).get("/api/v1/projects/letters/references/").json()["results"]
    assert [(row["text"], row["annotator_id"], row["derived_from"]) for row in rows] == [
        ("What I would have liked to read.", annotator.pk, None)
    ]


def test_what_changed_between_two_snapshots(project, ranked_task, admin, as_user):
    client = as_user(admin)
    snapshots = "/api/v1/projects/letters/snapshots/"
    client.post(snapshots, {}, content_type="application/json")
    newer = ranked_task(["Yes.", "No."])
    client.post(snapshots, {}, content_type="application/json")
    client.post(snapshots, {"type": "judgments"}, content_type="application/json")
    changes = client.get(f"{snapshots}2/changes/1/").json()
    assert changes == {
        "earlier": 1,
        "later": 2,
        "totals": {"added": 1, "removed": 0, "changed": 0},
        "groups": [{"group": str(newer.pk), "added": 1, "removed": 0, "changed": 0}],
    }
    assert client.get(f"{snapshots}3/changes/1/").status_code == 409
    assert client.get(f"{snapshots}2/changes/9/").status_code == 404
    assert client.get(f"{snapshots}2/").json()["rows"] == 4


@pytest.mark.parametrize("way", ["draft", "submit", "skip"])
def test_json_without_end_is_refused_in_words(project, annotator, as_user, open_ranking_task, way):
    open_ranking_task()
    client = as_user(annotator)
    seat = client.post("/api/v1/projects/letters/tasks/claim/").json()
    body = f'{{"draft": {"[" * 100_000}, "active_ms": 1}}'
    refused = client.post(f"{SEATS}/{seat['id']}/{way}/", body, content_type="application/json")
    assert refused.status_code == 400
    assert "nested too deeply" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (r'{"text": "a \u0000 b"}', {"text": "a  b"}),
        (r'{"text": "half of an emoji: \ud83d"}', {"text": "half of an emoji: "}),
        (r'{"te\u0000xt": ["\u0001"]}', {"text": [""]}),
    ],
)
def test_what_no_database_keeps_is_taken_out_and_the_rest_is_stored(
    project, annotator, as_user, open_ranking_task, sent, kept
):
    open_ranking_task()
    client = as_user(annotator)
    seat = client.post("/api/v1/projects/letters/tasks/claim/").json()
    body = f'{{"draft": {sent}, "active_ms": 1}}'
    saved = client.post(f"{SEATS}/{seat['id']}/draft/", body, content_type="application/json")
    assert saved.json()["draft"] == kept


def test_a_whole_emoji_and_an_empty_draft_are_stored(project, annotator, as_user, open_ranking_task):
    open_ranking_task()
    client = as_user(annotator)
    seat = client.post("/api/v1/projects/letters/tasks/claim/").json()
    for draft in (r'{"rationale": "\ud83d\ude00 and \\u0000"}', "{}"):
        body = f'{{"draft": {draft}, "active_ms": 1}}'
        saved = client.post(f"{SEATS}/{seat['id']}/draft/", body, content_type="application/json")
        assert saved.status_code == 200
        assert saved.json()["draft"] == json.loads(draft)


def test_a_reason_is_kept_without_its_control_characters(project, annotator, as_user, open_ranking_task):
    open_ranking_task()
    client = as_user(annotator)
    client.post("/projects/letters/annotate/")
    seat = Assignment.objects.get(annotator=annotator)
    assert client.post(f"{seat.get_absolute_url()}skip/", {"reason": "un\0clear"}).status_code == 302
    seat.refresh_from_db()
    assert seat.skip_reason == "unclear"


def test_an_address_that_the_api_does_not_have_is_refused_as_json(client):
    answer = client.get("/api/v1/nowhere/")
    assert (answer.status_code, answer.json()) == (404, {"detail": "There is no such page."})
    assert b"<html" in client.get("/nowhere/").content
    assert client.get("/api/v1/projects").headers["Location"] == "/api/v1/projects/"


def test_an_admin_who_changes_the_share_of_checks_is_told_what_it_is_now(project, admin, annotator, as_user):
    address = f"/api/v1/projects/{project.slug}/"
    changed = as_user(admin).patch(address, {"gold_share": 0.1}, content_type="application/json").json()
    assert changed["gold_share"] == 0.1
    assert as_user(admin).get(address).json()["gold_share"] == 0.1
    assert as_user(annotator).get(address).json()["gold_share"] is None
