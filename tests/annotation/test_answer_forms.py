"""What a project may ask for beside a whole order, over HTTP: what is stored, what is refused and in which words."""

from __future__ import annotations

import json
import uuid

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from annotation.actions import snapshots
from annotation.models import Assignment, Project, Ranking, SeatStatus, SnapshotType
from tests.answers import as_shown

pytestmark = pytest.mark.django_db


@pytest.fixture
def seat_for(bob, project, open_ranking_task):
    """The project asks in this way, and Bob has a task of it."""

    def make(texts=("Yes.", "No.", "Maybe so.", "Who can say?"), **settings) -> Assignment:
        Project.objects.filter(pk=project.pk).update(**settings)
        open_ranking_task(texts)
        bob.post("/projects/letters/annotate/")
        return Assignment.objects.get(status=SeatStatus.HELD)

    return make


def submit(client, seat: Assignment, **fields):
    encoded = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in as_shown(seat, fields).items()
    }
    return client.post(
        f"{seat.get_absolute_url()}submit/", {"client_uuid": str(uuid.uuid4()), "active_ms": "1500", **encoded}
    )


def refusal(response) -> str:
    assert response.status_code == 422
    assert Ranking.objects.count() == 0
    return response.content.decode().replace("&#x27;", "'")


def test_of_the_top_two_the_others_stay_unranked(bob, seat_for):
    seat = seat_for(ranking_form="top_k", top_k=2)
    a, b, c, d = seat.shown_order
    assert "Rank the top 2 responses" in bob.get(seat.get_absolute_url()).content.decode()
    submit(bob, seat, tiers=[[c], [a]])
    ranking = Ranking.objects.get()
    assert ranking.tiers == [[c], [a], sorted([b, d])]
    assert ranking.unranked == sorted([b, d])
    assert ranking.strength is None


def test_a_tie_for_the_last_place_may_hold_more_than_k(bob, seat_for):
    seat = seat_for(ranking_form="top_k", top_k=2)
    a, b, c, d = seat.shown_order
    submit(bob, seat, tiers=[[c], [a, b]], unacceptable=[d])
    ranking = Ranking.objects.get()
    assert (ranking.tiers, ranking.unranked, ranking.unacceptable) == ([[c], [a, b], [d]], [d], [d])


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        (lambda o: "", "Nothing is selected yet"),
        (lambda o: [[o[0]]], "Rank the top 2 responses; 1 are ranked."),
        (lambda o: [[o[0]], [o[1]], [o[2]]], "Rank only the top 2 responses; 3 are ranked."),
    ],
)
def test_too_few_or_too_many_of_the_top_two_are_refused(bob, seat_for, tiers, message):
    seat = seat_for(ranking_form="top_k", top_k=2)
    assert message in refusal(submit(bob, seat, tiers=tiers(seat.shown_order)))


def test_the_best_of_all_is_one_and_says_nothing_about_the_rest(bob, seat_for):
    seat = seat_for(ranking_form="best")
    a, b, c, d = seat.shown_order
    assert "Choose one response as the best; 2 are chosen." in refusal(submit(bob, seat, tiers=[[a, b]]))
    submit(bob, seat, tiers=[[b]])
    ranking = Ranking.objects.get()
    assert ranking.tiers == [[b], sorted([a, c, d])]
    assert ranking.unranked == sorted([a, c, d])


@pytest.mark.parametrize(("strength", "is_tie"), [(0, True), (1, False), (2, False)])
def test_a_graded_comparison_keeps_its_strength(bob, seat_for, strength, is_tie):
    seat = seat_for(["Yes.", "No."], ranking_form="graded", candidates_per_task=2)
    a, b = seat.shown_order
    assert "B is much better" in bob.get(seat.get_absolute_url()).content.decode()
    tiers = [[a, b]] if is_tie else [[b], [a]]
    submit(bob, seat, tiers=tiers, strength=strength)
    ranking = Ranking.objects.get()
    assert (ranking.tiers, ranking.strength) == (tiers, strength)


@pytest.mark.parametrize(
    ("is_tie", "strength", "message"),
    [
        (False, "", "Give the strength"),
        (False, "0", "Strength 0 means that both are tied"),
        (True, "2", "Strength 0 means that both are tied"),
        (False, "3", "less than or equal to 2"),
    ],
)
def test_a_strength_that_contradicts_the_order_is_refused(bob, seat_for, is_tie, strength, message):
    seat = seat_for(["Yes.", "No."], ranking_form="graded", candidates_per_task=2)
    a, b = seat.shown_order
    assert message in refusal(submit(bob, seat, tiers=[[a, b]] if is_tie else [[a], [b]], strength=strength))


def test_only_a_graded_comparison_has_a_strength(bob, seat_for):
    seat = seat_for()
    response = submit(bob, seat, tiers=[[pk] for pk in seat.shown_order], strength="1")
    assert "Only a graded comparison" in refusal(response)


def test_the_database_knows_no_other_strength(bob, seat_for):
    seat = seat_for()
    with pytest.raises(IntegrityError), transaction.atomic():
        Ranking.objects.create(assignment=seat, client_uuid=uuid.uuid4(), tiers=[seat.shown_order], strength=3)


def test_a_task_of_three_in_a_graded_project_asks_for_the_whole_order(bob, seat_for):
    seat = seat_for(["One.", "Two.", "Three."], ranking_form="graded", candidates_per_task=2)
    submit(bob, seat, tiers=[[pk] for pk in seat.shown_order])
    assert Ranking.objects.get().strength is None


def test_ratings_are_stored_by_answer_and_criterion(bob, seat_for):
    seat = seat_for(["Yes.", "No."], criteria=["helpful", "harmless"])
    a, b = seat.shown_order
    ratings = {str(a): {"helpful": 5, "harmless": 1}, str(b): {"helpful": 2}}
    submit(bob, seat, tiers=[[a], [b]], ratings=ratings)
    assert Ranking.objects.get().ratings == ratings


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ({"helpful": 6}, "helpful: a rating is a whole number from 1 to 5."),
        ({"helpful": True}, "helpful: a rating is a whole number from 1 to 5."),
        ({"witty": 3}, "'witty' is not a criterion of this project."),
        ({"helpful": 3}, "1 rating is missing."),
        (3, "each completion id a number"),
    ],
)
def test_what_is_no_rating_is_refused(bob, seat_for, ratings, message):
    seat = seat_for(["Yes.", "No."], criteria=["helpful"], criteria_required=True)
    a, b = seat.shown_order
    assert message in refusal(submit(bob, seat, tiers=[[a], [b]], ratings={str(a): ratings}))
    assert "not in this task: 999999" in refusal(submit(bob, seat, tiers=[[a], [b]], ratings={"999999": {}}))


def test_a_required_reason_is_asked_for_and_a_hidden_one_is_not_there(bob, seat_for):
    seat = seat_for(["Yes.", "No."], rationale="required")
    tiers = [[pk] for pk in seat.shown_order]
    assert "Explanation required." in refusal(submit(bob, seat, tiers=tiers, rationale="  "))
    Project.objects.update(rationale="hidden")
    assert 'name="rationale"' not in bob.get(seat.get_absolute_url()).content.decode()
    submit(bob, seat, tiers=tiers)
    assert Ranking.objects.get().rationale == ""


SETTINGS = {
    "name": "Letters",
    "guidelines": "",
    "candidates_per_task": "4",
    "seats_per_task": "1",
    "reference_share": "0.1",
    "lease_minutes": "20",
    "base_model": "base",
    "ranking_form": "top_k",
    "top_k": "3",
    "criteria": "helpful\n\n harmless \n",
    "criteria_required": "on",
    "rationale": "required",
    "write_first": "on",
}


def test_an_admin_says_in_the_settings_what_is_asked(admin, as_user, project):
    alice = as_user(admin)
    assert alice.post("/projects/letters/settings/", SETTINGS).status_code == 302
    project.refresh_from_db()
    assert (project.ranking_form, project.top_k, project.rationale) == ("top_k", 3, "required")
    assert project.criteria == ["helpful", "harmless"]
    assert project.criteria_required
    assert project.write_first
    assert "helpful\nharmless</textarea>" in alice.get("/projects/letters/settings/").content.decode()


def test_an_admin_says_how_the_model_is_asked(admin, as_user, project):
    alice = as_user(admin)
    asked = {"chat_template_kwargs": '{"enable_thinking": false}', "thoughts": "hidden", "long_prompts": "drop_oldest"}
    assert alice.post("/projects/letters/settings/", SETTINGS | asked).status_code == 302
    project.refresh_from_db()
    assert project.chat_template_kwargs == {"enable_thinking": False}
    assert (project.thoughts, project.long_prompts) == ("hidden", "drop_oldest")
    # What a request leaves out stays as it was, and an emptied field is no settings.
    assert alice.post("/projects/letters/settings/", SETTINGS).status_code == 302
    project.refresh_from_db()
    assert project.chat_template_kwargs == {"enable_thinking": False}
    assert alice.post("/projects/letters/settings/", SETTINGS | {"chat_template_kwargs": ""}).status_code == 302
    project.refresh_from_db()
    assert project.chat_template_kwargs == {}
    changed = alice.patch(
        "/api/v1/projects/letters/", {"chat_template_kwargs": {}, "thoughts": "off"}, content_type="application/json"
    )
    assert changed.status_code == 200, changed.content
    assert (changed.json()["chat_template_kwargs"], changed.json()["thoughts"]) == ({}, "off")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[1]", "Give a JSON object, such as"),
        ('{"budget": NaN}', "Give a JSON object, such as"),
        ('{"a": ' + "[" * 100_000, "Enter a valid JSON."),
        ("{", "Enter a valid JSON."),
        ('{"messages": []}', "&#x27;messages&#x27; cannot be set"),
        ('{"bos_token": ""}', "&#x27;bos_token&#x27; cannot be set"),
        ('{"tools": ["add"]}', "Give &quot;tools&quot; as a list of JSON objects"),
    ],
)
def test_template_settings_that_cannot_be_are_refused_in_words(admin, as_user, project, given, message):
    page = as_user(admin).post("/projects/letters/settings/", SETTINGS | {"chat_template_kwargs": given})
    assert page.status_code == 200
    assert message in page.content.decode()
    project.refresh_from_db()
    assert project.chat_template_kwargs == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ranking_form": "graded"}, "A graded comparison has two responses per task."),
        ({"top_k": "4"}, "Of 4 responses at most 3 can be ranked as the top ones."),
        ({"criteria": "a\nb\nc\nd\ne\nf\ng"}, "At most 6 criteria; these are 7."),
        ({"criteria": "Kind\nkind"}, "Each criterion can be listed once."),
        ({"criteria": "x" * 31}, "A criterion has at most 30 characters"),
        ({"criteria": ""}, "Name the criteria first."),
    ],
)
def test_settings_that_cannot_be_are_refused_in_words(admin, as_user, project, change, message):
    page = as_user(admin).post("/projects/letters/settings/", {**SETTINGS, **change})
    assert page.status_code == 200
    assert message in page.content.decode()
    project.refresh_from_db()
    assert project.ranking_form == "full"


def test_the_database_keeps_graded_comparisons_to_two(project):
    with pytest.raises(IntegrityError), transaction.atomic():
        Project.objects.filter(pk=project.pk).update(ranking_form="graded", candidates_per_task=3)
    with pytest.raises(ValidationError, match="two responses per task"):
        Project(slug="x", name="X", ranking_form="graded", candidates_per_task=3).full_clean()


def rows_of(project, type: SnapshotType) -> list[dict]:
    snapshot = snapshots.take_snapshot(project=project, by=None, type=type)
    return [json.loads(line) for line in snapshot.path.read_text("utf-8").splitlines()]


def test_a_snapshot_has_no_pair_among_what_stays_unranked(bob, seat_for, project):
    seat = seat_for(ranking_form="best", criteria=["helpful"])
    a, b, c, d = seat.shown_order
    submit(bob, seat, tiers=[[b]], ratings={str(b): {"helpful": 5}})
    texts = dict(seat.task.candidates.values_list("pk", "text"))
    pairs = rows_of(project, SnapshotType.PREFERENCE)
    assert {row["chosen"][0]["content"] for row in pairs} == {texts[b]}
    assert sorted(row["rejected"][0]["content"] for row in pairs) == sorted([texts[a], texts[c], texts[d]])
    (row,) = rows_of(project, SnapshotType.RANKING)
    (said,) = row["rankings"]
    best = sorted(seat.shown_order).index(b)
    others = [place for place in range(4) if place != best]
    assert (said["tiers"], said["unranked"]) == ([[best], others], others)
    assert said["ratings"] == [{"place": best, "criterion": "helpful", "rating": 5}]


@pytest.mark.parametrize(("strength", "margin"), [(1, 0.5), (2, 1.0)])
def test_the_strength_of_a_comparison_is_the_margin_of_its_pair(bob, seat_for, project, strength, margin):
    seat = seat_for(["Yes.", "No."], ranking_form="graded", candidates_per_task=2)
    submit(bob, seat, tiers=[[pk] for pk in seat.shown_order], strength=strength)
    (pair,) = rows_of(project, SnapshotType.PREFERENCE)
    assert pair["margin"] == margin
    (row,) = rows_of(project, SnapshotType.RANKING)
    assert row["rankings"][0]["strength"] == strength
