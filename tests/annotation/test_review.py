"""Reviewing over HTTP: contested first, a decision that snapshots take, a comment that reaches the annotator."""

from __future__ import annotations

import json
import re

import pytest
from django.contrib.auth.models import User
from django.db.models import F

from annotation.actions import snapshots
from annotation.models import Adjudication, Assignment, GoldAnswer, Membership, ReviewComment, Role, SnapshotType
from annotation.models.task import UNDO_WITHIN
from annotation.pseudonyms import pseudonym
from tests.annotation.test_quality import rank

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def second(project) -> User:
    user = User.objects.create_user("dora")
    Membership.objects.create(project=project, user=user, role=Role.ANNOTATOR)
    return user


@pytest.fixture
def contested(project, annotator, second, open_ranking_task, make_prompt):
    """Two tasks: on the first people agree, on the second not."""
    clear = open_ranking_task(["A", "B"], seats=2, prompt=make_prompt("An easy one"))
    for user in (annotator, second):
        rank(project, user)
    hard = open_ranking_task(["A", "B", "C"], seats=2, prompt=make_prompt("A hard one"))
    rank(project, annotator, ["A", "B", "C"], rationale="A is kinder.")
    rank(project, second, ["C", "B", "A"])
    return clear, hard


def decide(client, task, places, below=(), note=""):
    texts = dict(task.candidates.values_list("text", "pk"))
    fields = {f"place_{texts[text]}": place for text, place in places.items()}
    fields |= {f"below_{texts[text]}": "on" for text in below}
    return client.post(f"/projects/letters/review/{task.pk}/", {**fields, "note": note})


def ranking_rows(project):
    taken = snapshots.take_snapshot(project=project, by=None, type=SnapshotType.RANKING)
    return {row["group_id"]: row for row in map(json.loads, taken.path.read_text("utf-8").splitlines())}, taken


def test_what_people_agree_on_least_comes_first(rita, contested):
    page = rita.get("/projects/letters/review/").content.decode()
    assert page.index("A hard one") < page.index("An easy one")
    assert "0.0%" in page
    assert "100.0%" in page


def test_the_judgments_stand_beside_the_answers_with_names_and_reasons(rita, contested):
    page = rita.get(f"/projects/letters/review/{contested[1].pk}/").content.decode()
    for part in ("A is kinder.", "1st", "3rd", "A hard one"):
        assert part in page
    assert set(re.findall(r"\bA-\w{5}\b", page)) == {
        pseudonym(contested[1].project_id, pk)
        for pk in User.objects.filter(username__in=("bob", "dora")).values_list("pk", flat=True)
    }
    assert not re.search(r"\b(bob|dora)\b", page)


def test_a_decided_order_goes_into_snapshots_instead_of_the_votes(project, rita, reviewer, contested):
    clear, hard = contested
    decide(rita, hard, {"A": 1, "B": 1, "C": 2}, below=["C"], note="Both are kind.")
    rows, taken = ranking_rows(project)
    assert [(vote["tiers"], vote["unacceptable"]) for vote in rows[hard.pk]["rankings"]] == [([[0, 1], [2]], [2])]
    assert rows[hard.pk]["rankings"][0]["annotator"] == f"reviewer-{reviewer.pk}"
    assert len(rows[clear.pk]["rankings"]) == 2
    assert taken.counts["adjudicated tasks"] == 1
    page = rita.get("/projects/letters/review/").content.decode()
    assert "A hard one" not in page
    assert "A hard one" in rita.get("/projects/letters/review/?show=decided").content.decode()


def test_a_decision_can_be_taken_back_and_stays_on_record(project, rita, reviewer, contested):
    _, hard = contested
    decide(rita, hard, {"A": 1, "B": 2, "C": 3}, note="first thought")
    decide(rita, hard, {"A": 3, "B": 2, "C": 1}, note="second thought")
    assert Adjudication.objects.filter(withdrawn_at=None).get().note == "second thought"
    rita.post(f"/projects/letters/review/{hard.pk}/withdraw/")
    rows, _ = ranking_rows(project)
    assert len(rows[hard.pk]["rankings"]) == 2
    page = rita.get(f"/projects/letters/review/{hard.pk}/").content.decode()
    assert "first thought" in page
    assert "second thought" in page
    assert Adjudication.objects.filter(withdrawn_by=reviewer).count() == 2


@pytest.mark.parametrize(
    ("places", "below", "message"),
    [
        ({"A": 1, "B": 2}, [], "This field is required"),
        ({"A": 1, "B": 2, "C": 9}, [], "not one of the available choices"),
        ({"A": 1, "B": 2, "C": 3}, ["A"], "below all others"),
        ({"A": 1, "B": 2, "C": 2}, ["C"], "below all others"),
    ],
)
def test_what_is_no_order_is_refused_in_words(rita, contested, places, below, message):
    response = decide(rita, contested[1], places, below)
    assert response.status_code == 422
    assert message in response.content.decode()
    assert not Adjudication.objects.exists()


def test_a_comment_reaches_its_annotator_who_marks_it_read(rita, annotator, second, as_user, contested):
    _, hard = contested
    seat = hard.assignments.get(annotator=annotator)
    rita.post(f"/projects/letters/review/judgments/{seat.pk}/comment/", {"text": "Look at <b>tone</b> first."})
    bob, dora = as_user(annotator), as_user(second)
    assert "1 new comment from a reviewer" in bob.get("/projects/letters/").content.decode()
    page = bob.get("/projects/letters/mine/").content.decode()
    assert "Look at &lt;b&gt;tone&lt;/b&gt; first." in page
    assert "rita" in page
    assert "tone" not in dora.get("/projects/letters/mine/").content.decode()
    comment = ReviewComment.objects.get()
    assert dora.post(f"/projects/letters/mine/comments/{comment.pk}/read/").status_code == 404
    assert "not read yet" in rita.get(f"/projects/letters/review/{hard.pk}/").content.decode()
    bob.post(f"/projects/letters/mine/comments/{comment.pk}/read/")
    assert "new comment" not in bob.get("/projects/letters/").content.decode()
    assert "Mark as read" not in bob.get("/projects/letters/mine/").content.decode()
    assert "not read yet" not in rita.get(f"/projects/letters/review/{hard.pk}/").content.decode()


def test_an_empty_comment_is_not_sent(rita, annotator, contested):
    seat = contested[1].assignments.get(annotator=annotator)
    rita.post(f"/projects/letters/review/judgments/{seat.pk}/comment/", {"text": "   "})
    assert not ReviewComment.objects.exists()


def test_my_work_shows_my_agreement_and_nobody_elses_name(annotator, as_user, contested):
    client = as_user(annotator)
    # While it could be taken back and said anew, it would tell what the others said.
    assert "25.0%" not in client.get("/projects/letters/mine/").content.decode()
    Assignment.objects.update(finished_at=F("finished_at") - UNDO_WITHIN)
    page = client.get("/projects/letters/mine/").content.decode()
    # One pair of the easy task alike, three of the hard one not: 1 of 4.
    assert "25.0%" in page
    assert "Of 4 pairs" in page
    assert "dora" not in page


def test_only_a_decided_order_becomes_known(rita, contested):
    _, hard = contested
    address = f"/projects/letters/review/{hard.pk}/known/"
    page = rita.post(address, {"note": "n"}, follow=True).content.decode()
    assert "Adjudicate the task first" in page
    decide(rita, hard, {"A": 1, "B": 1, "C": 1})
    assert "ties every response" in rita.post(address, {"note": "n"}, follow=True).content.decode()
    decide(rita, hard, {"A": 2, "B": 1, "C": 3})
    rita.post(address, {"note": "B is kinder.", "practice": "on"})
    gold = GoldAnswer.objects.get()
    texts = dict(hard.candidates.values_list("pk", "text"))
    assert [[texts[pk] for pk in tier] for tier in gold.tiers] == [["B"], ["A"], ["C"]]
    assert gold.practice is False  # what people practise on is an admin's choice
    assert "B is kinder." in rita.get("/projects/letters/known/").content.decode()
    rita.post(address, {"remove": "1"})
    assert not GoldAnswer.objects.exists()


def test_a_stranger_to_the_project_reviews_nothing_of_it(contested, stranger, as_user, settings):
    settings.PROJECT_CREATORS = "all"
    other = as_user(stranger).post("/api/v1/projects/", {"name": "Other"}, content_type="application/json").json()
    client, task = as_user(stranger), contested[1]
    assert client.get(f"/projects/{other['slug']}/review/{task.pk}/").status_code == 404
    seat = task.assignments.first()
    address = f"/projects/{other['slug']}/review/judgments/{seat.pk}/comment/"
    assert client.post(address, {"text": "x"}).status_code == 404
