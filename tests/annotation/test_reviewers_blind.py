"""A reviewer who may yet judge a task sees nobody else's judgment of it."""

from __future__ import annotations

import json
import random
import re
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from annotation.actions import checks, judgments, queue, snapshots, tasks
from annotation.models import (
    Assignment,
    Completion,
    GoldAnswer,
    Membership,
    PolicyVersion,
    Project,
    Purpose,
    Role,
    SnapshotType,
    Source,
    Task,
)
from annotation.models.task import UNDO_WITHIN
from annotation.pseudonyms import pseudonym

pytestmark = pytest.mark.django_db
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
    assert "You may annotate this task yourself" in page
    assert not re.search(r"\bbob\b", page.lower())
    assert count(client) == 0
    seat = queue.claim_next(project=project, by=rita)
    page = client.get(address).content.decode()
    assert seat.get_absolute_url() in page
    assert "Bob says so." not in page
    assert client.post(address, {"look": "1"}, follow=True).status_code == 200
    assert "Bob says so." not in client.get(address).content.decode()
    assert count(client) == 0
    judge(seat)
    # It may still be taken back: who saw the others' now could change it to theirs.
    assert "Bob says so." not in client.get(address).content.decode()
    assert count(client) == 0
    Assignment.objects.update(finished_at=timezone.now() - timedelta(minutes=11))
    assert "Bob says so." in client.get(address).content.decode()
    assert count(client) == 2


def test_who_looks_at_once_cannot_take_their_own_back(task, rita, as_user, project):
    client, address = as_user(rita), f"/projects/letters/review/{task.pk}/"
    judge(queue.claim_next(project=project, by=rita))
    client.post(address, {"look": "1"})
    assert "Bob says so." in client.get(address).content.decode()
    refused = client.post("/projects/letters/undo/", follow=True).content.decode()
    assert "Your last submission is final" in refused
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


def later() -> None:
    """Ten minutes on, when no judgment can be taken back any more."""
    Assignment.objects.filter(finished_at__isnull=False).update(finished_at=timezone.now() - timedelta(minutes=11))


@pytest.mark.parametrize("way", ["snapshots/1/download/", "snapshots/2/changes/1/"])
def test_rows_of_a_snapshot_wait_for_the_own_judgment(task, rita, admin, as_user, project, way):
    later()
    for _ in range(2):
        snapshots.take_snapshot(project=project, by=admin)
    client = as_user(rita)
    page = client.get(f"/projects/letters/{way}", follow=True)
    assert "of 1 task that you may still annotate" in page.content.decode()
    assert page.redirect_chain
    assert client.get(f"/api/v1/projects/letters/{way}").status_code == 409
    assert as_user(admin).get(f"/projects/letters/{way}").status_code == 200
    judge(queue.claim_next(project=project, by=rita))
    Assignment.objects.filter(annotator=rita).update(finished_at=timezone.now() - timedelta(minutes=9))
    assert client.get(f"/api/v1/projects/letters/{way}").status_code == 409  # it may be taken back
    later()
    assert client.get(f"/projects/letters/{way}").status_code == 200
    assert client.get(f"/api/v1/projects/letters/{way}").status_code == 200


def test_who_wrote_a_response_is_hidden_while_it_stands_in_a_task_of_ones_own(
    project, policy, annotator, rita, admin, as_user, open_ranking_task
):
    written = open_ranking_task(["M"], kind="reference")
    seat = queue.claim_next(project=project, by=annotator)
    answer = {"text": "Written by hand.", "derived_from": None, "change_note": ""}
    judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=900)
    later()
    text = Completion.objects.get(text="Written by hand.")
    address = "/api/v1/projects/letters/references/"
    assert len(as_user(rita).get(address).json()["results"]) == 1
    made = Completion.objects.create(prompt=written.prompt, source=Source.POLICY, policy=policy, text="Made.")
    tasks.open_task(prompt=written.prompt, kind="ranking", candidates=[text, made], seats=1)
    assert as_user(rita).get(address).json()["results"] == []
    assert len(as_user(admin).get(address).json()["results"]) == 1
    snapshots.take_snapshot(project=project, by=admin, type=SnapshotType.PROMPT_COMPLETION)
    assert as_user(rita).get("/api/v1/projects/letters/snapshots/1/download/").status_code == 409


def test_figures_of_quality_leave_out_what_the_reader_may_yet_judge(task, rita, admin, as_user, project):
    address = "/api/v1/projects/letters/quality/"
    assert as_user(admin).get(address).json()["rankings"] == 1
    assert as_user(rita).get(address).json()["rankings"] == 0
    judge(queue.claim_next(project=project, by=rita))
    assert as_user(rita).get(address).json()["contested"] == []
    assert as_user(admin).get(address).json()["rankings"] == 2
    later()
    report = as_user(rita).get(address).json()
    assert report["rankings"] == 2
    assert [row["task"] for row in report["contested"]] == [task.pk]


def test_who_sees_known_orders_is_not_checked_by_them(project, rita, admin, annotator, open_ranking_task, monkeypatch):
    monkeypatch.setattr(checks, "dice", lambda *_: random.Random(1))  # a known task each time
    Project.objects.filter(pk=project.pk).update(gold_share=0.5)
    for _ in range(12):
        known = open_ranking_task(["A", "B"])
        tiers = [[pk] for pk in known.candidates.order_by("pk").values_list("pk", flat=True)]
        GoldAnswer.objects.create(task=known, tiers=tiers, marked_by=admin)
        Assignment.objects.filter(task=known).delete()
    for _ in range(24):
        open_ranking_task(["A", "B"])
    purposes = {}
    for person in (rita, annotator):
        found = set()
        for _ in range(10):
            seat = queue.claim_next(project=Project.objects.get(), by=person)
            found.add(seat.task.purpose)
            judge(seat)
        purposes[person.username] = found
    assert purposes == {"rita": {Purpose.WORK}, "bob": {Purpose.GOLD}}


def test_who_sees_which_tasks_are_repeats_is_not_asked_twice(project, rita, annotator, open_ranking_task, monkeypatch):
    """A repeat is made at the claim: the newest task in the API's list would be one."""
    monkeypatch.setattr(checks, "REPEAT_AFTER", 2)
    monkeypatch.setattr(checks, "dice", lambda *_: random.Random(1))  # a repeat wherever there is one
    Project.objects.filter(pk=project.pk).update(repeat_share=0.5)
    for _ in range(16):
        open_ranking_task(["A", "B"])
    for person, repeats in ((rita, 0), (annotator, 3)):
        for _ in range(8):
            judge(queue.claim_next(project=Project.objects.get(), by=person))
        assert Task.objects.filter(purpose=Purpose.REPEAT).count() == repeats


RECORDS = "/projects/letters/records/"


def test_the_data_browser_does_not_tell_which_of_two_versions_wrote_what(project, policy, rita, make_prompt, as_user):
    """The newer version's response is the older row: no page gives a text by number, or counts what is left out."""
    newer = PolicyVersion.objects.create(project=project, number=1, checkpoint="/models/1", parent=policy)
    client, firsts = as_user(rita), 0
    for number in range(16):
        prompt = make_prompt()
        made = [
            Completion.objects.create(prompt=prompt, source=Source.POLICY, policy=author, text=f"{word} {number}.")
            for author, word in ((newer, "Apple"), (policy, "Pear"))
        ]
        task = tasks.open_task(prompt=prompt, kind="ranking", candidates=made, seats=1)
        page = client.get(f"{RECORDS}tasks/{task.pk}/").content.decode()
        firsts += page.index(f"Apple {number}.") < page.index(f"Pear {number}.")
        for answer in made:
            assert answer.text not in client.get(f"{RECORDS}responses/{answer.pk}/").content.decode()
    assert 2 <= firsts <= 14  # a coin's 99.9 %; in the order of the rows it is 16
    pages = []
    for version in (newer, policy):
        asked = {"version": version.pk, "q": "Apple"}
        page = client.get(f"{RECORDS}responses/", asked).content.decode().split("<main", 1)[1]
        page = re.sub(r'csrfmiddlewaretoken" value="[^"]*"', "", page)
        pages.append(page.replace(" selected", "").replace(f"version={version.pk}", ""))
    assert pages[0] == pages[1]
    assert "hidden here, and left out of exports" in pages[0]


def test_seats_that_others_votes_opened_are_not_shown_to_who_may_still_judge(
    project, rita, annotator, admin, open_ranking_task, as_user
):
    Project.objects.filter(pk=project.pk).update(conflict_seat=True, seats_per_task=2)
    client, task = as_user(rita), open_ranking_task(["A", "B", "C"], seats=2)
    Task.objects.filter(pk=task.pk).update(planned_seats=2)

    def shown() -> list[str]:
        pages = [f"{RECORDS}tasks/", f"{RECORDS}tasks/{task.pk}/", f"{RECORDS}prompts/{task.prompt_id}/"]
        found = [client.get(page).content.decode().split("<main", 1)[1] for page in pages]
        found.append(client.post(f"{RECORDS}tasks/export.jsonl", {"ids": [task.pk]}).getvalue().decode())
        found.append(json.dumps(client.get("/api/v1/projects/letters/tasks/").json()["results"]))
        return [re.sub(r'csrfmiddlewaretoken" value="[^"]*"|<option.*?</option>', "", each) for each in found]

    before = shown()
    assert not re.search(r"\bbob\b", "".join(before))
    judge(queue.claim_next(project=Project.objects.get(), by=annotator))
    seat = queue.claim_next(project=Project.objects.get(), by=rita)
    bobs = Assignment.objects.get(annotator=annotator).ranking.tiers
    answer = {"tiers": bobs[::-1], "unacceptable": [], "rationale": ""}
    judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=900)
    assert Task.objects.get().seats == 3  # the two contradict each other
    assert shown() == before
    Assignment.objects.filter(pk=seat.pk).update(finished_at=timezone.now() - UNDO_WITHIN)
    assert pseudonym(project.pk, annotator.pk) in shown()[1]
    assert not re.search(r"\bbob\b", "".join(shown()))


def test_an_admin_gets_all_rows_over_the_api(task, admin, as_user):
    assert count(as_user(admin)) == 1
