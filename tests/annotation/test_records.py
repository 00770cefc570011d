"""The data browser over HTTP: lists, filters, pages by position, saved views, files, blinding."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from annotation.actions import queue
from annotation.models import (
    Assignment,
    AuditEvent,
    Completion,
    ImportedLabel,
    Prompt,
    Ranking,
    SavedView,
    Split,
    Task,
)
from annotation.models.task import UNDO_WITHIN
from tests.annotation.record_pages import RECORDS, change, judge, rows, texts

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def test_pages_by_position_show_each_record_once_in_both_directions(alice, project):
    Prompt.objects.bulk_create(
        Prompt(project=project, messages=[{"role": "user", "content": str(n)}], digest=str(n), split="train")
        for n in range(120)
    )
    seen, address = [], f"{RECORDS}prompts/"
    for count in (50, 50, 20):
        page = alice.get(address).context["page"]
        assert len(page.rows) == count
        seen += [int(row.last_message) for row in page.rows]
        address = f"{RECORDS}prompts/?after={page.next}"
    assert seen == list(range(119, -1, -1))
    assert page.next == ""
    back = alice.get(f"{RECORDS}prompts/?before={page.previous}").context["page"]
    assert [int(row.last_message) for row in back.rows] == list(range(69, 19, -1))
    assert back.next
    first = alice.get(f"{RECORDS}prompts/?before={back.previous}").context["page"]
    assert [int(row.last_message) for row in first.rows] == list(range(119, 69, -1))
    assert first.previous == ""


@pytest.mark.parametrize("position", ["x", "W10", "WyJhIiwgMV0", "W251bGwsIDFd", "%00", "W1tdLDFd"])
def test_a_made_up_position_shows_the_first_page(alice, make_prompt, position):
    make_prompt("Only one")
    assert texts(alice, after=position) == ["Only one"]


def test_tasks_of_one_priority_are_parted_by_their_ids(alice, project, make_prompt):
    prompt = make_prompt()
    Task.objects.bulk_create(
        Task(project=project, prompt=prompt, kind="ranking", priority=n % 2, origin=str(n)) for n in range(110)
    )
    seen, asked = [], {"sort": "priority"}
    while True:
        page = alice.get(f"{RECORDS}tasks/", asked).context["page"]
        seen += [(row.priority, row.pk) for row in page.rows]
        if not page.next:
            break
        asked["after"] = page.next
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 110


def test_filters_of_prompts_and_responses(alice, make_prompt, policy):
    old = make_prompt("Old", category="kitchen", split=Split.EVAL, withdrawn_at=timezone.now())
    new = make_prompt("New", category="garden", split=Split.TRAIN)
    cut = Completion.objects.create(prompt=new, source="policy", policy=policy, text="Cut", finished=False)
    whole = Completion.objects.create(prompt=old, source="imported", text="Whole")
    assert rows(alice, "prompts", split="eval") == [old]
    assert rows(alice, "prompts", category="garden") == [new]
    assert rows(alice, "prompts", status="archived") == [old]
    assert rows(alice, "prompts", since=str((timezone.now() + timedelta(days=1)).date())) == []
    assert rows(alice, "responses", truncated="yes") == [cut]
    assert rows(alice, "responses", source="imported") == [whole]
    assert rows(alice, "responses", version=policy.pk) == [cut]
    refused = alice.get(f"{RECORDS}prompts/", {"since": "yesterday"})
    assert refused.status_code == 422
    assert "Added since" in refused.content.decode()


def test_filters_of_annotations_and_tasks(alice, project, annotator, open_ranking_task):
    done, waiting = open_ranking_task(priority=5), open_ranking_task()
    seat = judge(project, annotator, rationale="因为更简洁")
    assert rows(alice, "annotations", q="简洁") == [seat]
    assert rows(alice, "annotations", annotator=annotator.pk) == [seat]
    assert rows(alice, "annotations", kind="label") == []
    assert rows(alice, "tasks", state="done") == [done]
    assert rows(alice, "tasks", state="open") == [waiting]
    assert rows(alice, "tasks", q=waiting.prompt.last_message.split()[-1].rstrip("."), kind="ranking") == [waiting]
    queue.claim_next(project=project, by=annotator)
    assert rows(alice, "tasks", assigned=annotator.pk) == [waiting]


def test_imported_labels_are_there(alice, project):
    ImportedLabel.objects.create(project=project, text="很好吃", label="positive", digest="1", split="train")
    assert [row.label for row in rows(alice, "labels", q="好吃")] == ["positive"]
    assert rows(alice, "labels", label="negative") == []


def test_files_have_what_was_ticked_or_all_that_match(alice, make_prompt):
    one, two = make_prompt("=1+1"), make_prompt("Two", category="b")
    lines = alice.post(f"{RECORDS}prompts/export.jsonl", {"ids": [one.pk]}).getvalue().decode().splitlines()
    assert [json.loads(line)["messages"] for line in lines] == [[{"role": "user", "content": "=1+1"}]]
    table = alice.post(f"{RECORDS}prompts/export.csv", {"query": "category=b"}).getvalue().decode()
    (row,) = csv.DictReader(io.StringIO(table))
    assert (row["id"], row["category"]) == (str(two.pk), "b")
    assert AuditEvent.objects.filter(action="exported").count() == 2
    empty = alice.post(f"{RECORDS}prompts/export.csv", {"query": "category=none"})
    assert empty.getvalue().decode().strip() == "id"


def test_a_cell_is_never_a_formula(alice, project):
    ImportedLabel.objects.create(project=project, text="=HYPERLINK(1)", label="@x", digest="1", split="train")
    table = alice.post(f"{RECORDS}labels/export.csv").getvalue().decode()
    (row,) = csv.DictReader(io.StringIO(table))
    assert (row["text"], row["label"]) == ("'=HYPERLINK(1)", "'@x")


def test_who_may_still_annotate_a_task_sees_neither_its_authors_nor_its_annotations(
    rita, project, annotator, open_ranking_task
):
    task = open_ranking_task(["A", "B", "C"], seats=2)
    seat = judge(project, annotator, rationale="Bob says so.")
    answer = task.candidates.first()
    for address in ("responses/", "annotations/", f"responses/{answer.pk}/", f"annotations/{seat.pk}/"):
        page = rita.get(f"{RECORDS}{address}").content.decode()
        assert "Bob says so." not in page, address
        assert not re.search(r"\bv0\b", page.replace(">v0</option>", "")), address
    assert rows(rita, "responses") == []
    assert rows(rita, "annotations", q="Bob") == []
    assert "hidden" in rita.get(f"{RECORDS}responses/").content.decode()
    assert f"records/responses/{answer.pk}/" not in rita.get(f"{RECORDS}prompts/{task.prompt_id}/").content.decode()
    page = rita.get(f"{RECORDS}tasks/{task.pk}/").content.decode()
    assert "Bob says so." not in page
    assert not re.search(r"\bv0\b", page)
    file = rita.post(f"{RECORDS}annotations/export.jsonl", {"ids": [seat.pk]}).getvalue().decode()
    assert "Bob says so." not in file
    change(rita, "annotations", "send_back", [seat.pk], reason="x")
    assert Ranking.objects.count() == 1
    own = judge(project, User.objects.get(username="rita"))
    assert rows(rita, "responses") == []  # as long as it can be undone
    Assignment.objects.filter(pk=own.pk).update(finished_at=timezone.now() - UNDO_WITHIN)
    assert len(rows(rita, "responses")) == 3
    assert "Bob says so." in rita.get(f"{RECORDS}annotations/{seat.pk}/").content.decode()


def test_an_admin_is_blind_as_soon_as_they_annotate(alice, admin, project, annotator, open_ranking_task):
    open_ranking_task(["A", "B"], seats=2)
    seat = judge(project, annotator, rationale="Bob says so.")
    assert "Bob says so." in alice.get(f"{RECORDS}annotations/{seat.pk}/").content.decode()
    open_ranking_task(["C", "D"], seats=1, priority=9)
    own = judge(project, admin)
    Assignment.objects.filter(pk=own.pk).update(finished_at=timezone.now() - UNDO_WITHIN)
    assert "Bob says so." not in alice.get(f"{RECORDS}annotations/{seat.pk}/").content.decode()
    assert {row.text for row in rows(alice, "responses")} == {"C", "D"}


def test_views_are_saved_shared_and_deleted_by_their_owner(alice, rita, make_prompt):
    make_prompt()
    save = {"name": "Held out", "query": "split=eval&after=xyz", "shared": "on"}
    alice.post(f"{RECORDS}prompts/views/", save)
    view = SavedView.objects.get()
    assert view.query == "split=eval"
    assert "Held out" in rita.get(f"{RECORDS}prompts/").content.decode()
    assert "Held out" not in rita.get(f"{RECORDS}tasks/").content.decode()
    assert rita.post(f"{RECORDS}views/{view.pk}/remove/").status_code == 404
    alice.post(f"{RECORDS}prompts/views/", {**save, "shared": ""})
    assert "Held out" not in rita.get(f"{RECORDS}prompts/").content.decode()
    alice.post(f"{RECORDS}views/{view.pk}/remove/")
    assert not SavedView.objects.exists()


def test_an_unknown_list_is_not_found(alice, project):
    assert alice.get(f"{RECORDS}nonsense/").status_code == 404
    assert alice.post(f"{RECORDS}nonsense/change/").status_code == 404
    assert alice.post(f"{RECORDS}prompts/export.xml").status_code == 404


def test_the_figures_of_the_overview_lead_to_the_records(alice, open_ranking_task):
    open_ranking_task()
    page = alice.get("/projects/letters/").content.decode()
    for name in ("prompts", "responses", "tasks", "annotations"):
        assert f'href="{RECORDS}{name}/"' in page
