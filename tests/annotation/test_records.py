"""The data browser over HTTP: lists, search in any script, pages by position, bulk actions, files, blinding."""

from __future__ import annotations

import csv
import io
import json
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from annotation.actions import judgments, queue, snapshots
from annotation.models import (
    Assignment,
    AuditEvent,
    Completion,
    ImportedLabel,
    Membership,
    Project,
    Prompt,
    Ranking,
    RecordChange,
    Role,
    SavedView,
    SeatStatus,
    Split,
    Task,
    words,
)
from annotation.models.task import UNDO_WITHIN

pytestmark = [pytest.mark.django_db, pytest.mark.database]
RECORDS = "/projects/letters/records/"


@pytest.fixture
def alice(admin, as_user):
    return as_user(admin)


@pytest.fixture
def rita(project, as_user):
    user = User.objects.create_user("rita")
    Membership.objects.create(project=project, user=user, role=Role.REVIEWER)
    return as_user(user)


def rows(client, name, **asked):
    response = client.get(f"{RECORDS}{name}/", asked)
    assert response.status_code == 200, response.content.decode()
    return response.context["page"].rows


def texts(client, **asked):
    return [prompt.last_message for prompt in rows(client, "prompts", **asked)]


def change(client, name, do, ids=(), **values):
    response = client.post(f"{RECORDS}{name}/change/", {"do": do, "ids": list(ids), **values}, follow=True)
    return " ".join(str(message) for message in response.context["messages"])


def judge(project, user, order=None, rationale=""):
    seat = queue.claim_next(project=project, by=user)
    answer = {"tiers": [[pk] for pk in order or seat.shown_order], "unacceptable": [], "rationale": rationale}
    judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=900)
    return seat


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("天气", ["北京今天的天气怎么样？"]),
        ("天", ["北京今天的天气怎么样？", "明天会下雨吗"]),
        ("今天的天", ["北京今天的天气怎么样？"]),
        ("气天", []),
        ("weather", ["How is the WEATHER today?"]),
        ("weath", ["How is the WEATHER today?"]),
        ("today weather", ["How is the WEATHER today?"]),
        ('"today weather"', []),
        ('"weather today"', ["How is the WEATHER today?"]),
        ("الطقس", ["كيف الطقس اليوم؟"]),
        ("ärger", ["Was hilft gegen ÄRGER?"]),
        ("お天気", ["今日のお天気は？"]),
        ("날씨", ["오늘날씨가어때요"]),
        ("c++", ["Explain c++ and snake_case."]),
        ("snake", ["Explain c++ and snake_case."]),
        ("O'Brien", ["Who is O'Brien?"]),
        ("' OR 1=1 --", []),
    ],
)
def test_search_finds_words_and_parts_of_text_without_spaces(alice, make_prompt, asked, found):
    for text in (
        "北京今天的天气怎么样？",
        "明天会下雨吗",
        "How is the WEATHER today?",
        "كيف الطقس اليوم؟",
        "Was hilft gegen ÄRGER?",
        "今日のお天気は？",
        "오늘날씨가어때요",
        "Explain c++ and snake_case.",
        "Who is O'Brien?",
    ):
        make_prompt(text)
    expected = list(found)
    got = texts(alice, q=asked)
    if asked == "天":  # Japanese has the character, too
        expected.append("今日のお天気は？")
    assert sorted(got) == sorted(expected)


def test_a_search_without_a_letter_is_refused_in_words(alice, make_prompt):
    make_prompt()
    response = alice.get(f"{RECORDS}prompts/", {"q": "?!,"})
    assert response.status_code == 422
    assert "Search for letters or digits" in response.content.decode()


def test_search_stays_within_the_project_and_follows_changes(alice, project, make_prompt, policy):
    other = Project.objects.create(slug="other", name="Other")
    make_prompt("A rare aardvark", project=other)
    prompt = make_prompt("Another thing")
    assert texts(alice, q="aardvark") == []
    answer = Completion.objects.create(prompt=prompt, source="policy", policy=policy, text="An aardvark.")
    assert rows(alice, "responses", q="aardvark") == [answer]
    Completion.objects.filter(pk=answer.pk).update(text="A zebra.")
    assert rows(alice, "responses", q="aardvark") == []
    assert rows(alice, "responses", q="zebra") == [answer]
    answer.delete()
    assert rows(alice, "responses", q="zebra") == []


@pytest.mark.skipif(connection.vendor != "sqlite", reason="triggers keep the index on SQLite only")
def test_a_migration_that_rebuilds_a_table_cannot_lose_the_search_index(alice, make_prompt):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'annotation_words_%'")
        assert cursor.fetchone()[0] == 3 * len(words.ALL)
        cursor.execute("DROP TRIGGER annotation_words_prompt_insert")
    make_prompt("Unseen by the index")
    assert texts(alice, q="unseen") == []
    words.ensure(connection)
    assert texts(alice, q="unseen") == ["Unseen by the index"]
    make_prompt("Seen at once")
    assert texts(alice, q="seen") == ["Seen at once"]


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


def test_bulk_changes_are_in_the_audit_log_and_in_each_history(alice, make_prompt):
    one, two, three = make_prompt("One"), make_prompt("Two", category="kept"), make_prompt("Three")
    assert change(alice, "prompts", "category", [one.pk, two.pk], category="kept") == (
        "1 prompt changed. 1 unchanged: they have this category."
    )
    assert change(alice, "prompts", "archive", [one.pk, three.pk]) == "2 prompts changed."
    assert set(Prompt.objects.in_force()) == {two}
    assert change(alice, "prompts", "unarchive", [one.pk]) == "1 prompt changed."
    event = AuditEvent.objects.filter(action="records-changed").earliest("id")
    assert (event.what, event.detail) == ("1 prompt: category: kept", {"ids": [one.pk], "count": 1})
    page = alice.get(f"{RECORDS}prompts/{one.pk}/").content.decode()
    for what in ("Category: kept", "Archived", "Restored"):
        assert what in page
    assert "Category: kept" not in alice.get(f"{RECORDS}prompts/{three.pk}/").content.decode()


def test_everything_that_matches_is_changed_and_nothing_else(alice, project):
    Prompt.objects.bulk_create(
        Prompt(
            project=project,
            messages=[{"role": "user", "content": f"{'odd' if n % 2 else 'even'} number {n}"}],
            digest=str(n),
            split="train",
        )
        for n in range(130)
    )
    said = change(alice, "prompts", "category", everything="1", query="q=odd&split=train", category="odd")
    assert said == "65 prompts changed."
    assert Prompt.objects.filter(category="odd").count() == 65
    assert all("odd" in prompt.last_message for prompt in Prompt.objects.filter(category="odd"))
    assert "Select at least one" in change(alice, "prompts", "archive")
    assert not Prompt.objects.exclude(withdrawn_at=None).exists()


def test_what_training_may_have_seen_does_not_become_held_out(alice, project, admin, make_prompt, ranked_task):
    seen = make_prompt("Seen", split=Split.TRAIN)
    snapshots.take_snapshot(project=project, by=admin)
    fresh = make_prompt("Fresh", split=Split.TRAIN)
    said = change(alice, "prompts", "split", [seen.pk, fresh.pk], split="eval")
    assert said == "1 prompt changed. 1 unchanged: older than a snapshot, so training may have used them."
    assert Prompt.objects.get(pk=fresh.pk).split == "eval"
    assert Prompt.objects.get(pk=seen.pk).split == "train"
    assert change(alice, "prompts", "split", [fresh.pk], split="train") == "1 prompt changed."


def test_responses_are_withdrawn_and_restored(alice, open_ranking_task):
    answer = open_ranking_task().candidates.first()
    assert change(alice, "responses", "withdraw", [answer.pk]) == "1 response changed."
    assert "withdrawn" in alice.get(f"{RECORDS}responses/{answer.pk}/").content.decode()
    assert change(alice, "responses", "restore", [answer.pk]) == "1 response changed."
    assert Completion.objects.in_force().count() == 4


def test_priority_decides_who_comes_first(alice, project, annotator, open_ranking_task):
    first, second = open_ranking_task(), open_ranking_task()
    change(alice, "tasks", "priority", [second.pk], priority="7")
    assert queue.claim_next(project=project, by=annotator).task == second
    assert change(alice, "tasks", "priority", [first.pk], priority="high") != ""
    assert Task.objects.get(pk=first.pk).priority == 0


def test_an_assigned_task_is_reserved_and_comes_first(alice, project, annotator, open_ranking_task):
    open_ranking_task(priority=9)
    wanted = open_ranking_task()
    assert change(alice, "tasks", "assign", [wanted.pk], to=annotator.pk) == "1 task changed."
    seat = queue.claim_next(project=project, by=annotator)
    assert seat.task == wanted
    assert seat.expires_at > timezone.now() + timedelta(days=6)
    assert sorted(seat.shown_order) == sorted(wanted.candidates.values_list("pk", flat=True))
    again = change(alice, "tasks", "assign", [wanted.pk], to=annotator.pk)
    assert "bob has or had them already" in again
    assert "Choose a member" in change(alice, "tasks", "assign", [wanted.pk])


def test_no_task_is_assigned_to_who_wrote_a_response_or_is_not_a_member(
    alice, project, annotator, stranger, open_ranking_task
):
    task = open_ranking_task()
    answer = task.candidates.first()
    Completion.objects.filter(pk=answer.pk).update(source="person", policy=None, author=annotator)
    assert "bob wrote one of their responses" in change(alice, "tasks", "assign", [task.pk], to=annotator.pk)
    assert change(alice, "tasks", "assign", [task.pk], to=stranger.pk) != "1 task changed."
    assert Assignment.objects.get().status == SeatStatus.EMPTY


def test_a_finished_task_is_reopened_for_one_more_annotator(alice, project, annotator, open_ranking_task):
    task = open_ranking_task()
    judge(project, annotator)
    assert change(alice, "tasks", "reopen", [task.pk]) == "1 task changed."
    dora = User.objects.create_user("dora")
    Membership.objects.create(project=project, user=dora, role=Role.ANNOTATOR)
    assert queue.claim_next(project=project, by=annotator) is None
    assert judge(project, dora).task == task
    assert change(alice, "tasks", "close", [task.pk]) == "0 tasks changed. 1 unchanged: they have no open seat."


def test_a_task_taken_out_of_the_queue_can_be_reopened(alice, project, annotator, open_ranking_task):
    task = open_ranking_task(seats=2)
    assert change(alice, "tasks", "close", [task.pk]) == "1 task changed."
    assert queue.claim_next(project=project, by=annotator) is None
    change(alice, "tasks", "reopen", [task.pk])
    assert queue.claim_next(project=project, by=annotator).task == task


def test_annotations_are_sent_back_in_bulk_by_reviewers(rita, project, annotator, open_ranking_task):
    open_ranking_task()
    seat = judge(project, annotator)
    assert "Say what should be corrected" in change(rita, "annotations", "send_back", [seat.pk])
    assert change(rita, "annotations", "send_back", [seat.pk], reason="Too quick.") == "1 annotation changed."
    assert not Ranking.objects.exists()
    assert queue.claim_next(project=project, by=annotator) == seat


def test_reviewers_look_and_only_admins_change(rita, alice, make_prompt):
    prompt = make_prompt()
    assert "Set category" not in rita.get(f"{RECORDS}prompts/").content.decode()
    refused = rita.post(f"{RECORDS}prompts/change/", {"do": "archive", "ids": [prompt.pk]})
    assert refused.status_code == 403
    assert rita.get(f"{RECORDS}prompts/{prompt.pk}/edit/").status_code == 403
    assert not RecordChange.objects.exists()


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
        assert "v0" not in page.replace(">v0</option>", ""), address
    assert rows(rita, "responses") == []
    assert rows(rita, "annotations", q="Bob") == []
    assert "hidden" in rita.get(f"{RECORDS}responses/").content.decode()
    assert f"records/responses/{answer.pk}/" not in rita.get(f"{RECORDS}prompts/{task.prompt_id}/").content.decode()
    page = rita.get(f"{RECORDS}tasks/{task.pk}/").content.decode()
    assert "Bob says so." not in page
    assert "v0" not in page
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


def test_a_prompt_is_added_by_hand(alice, project):
    page = alice.get(f"{RECORDS}prompts/new/")
    assert page.status_code == 200
    sent = {
        "form-TOTAL_FORMS": "2",
        "form-INITIAL_FORMS": "0",
        "form-0-role": "system",
        "form-0-content": "Be brief.",
        "form-1-role": "user",
        "form-1-content": "为什么天是蓝的？",
        "split": "eval",
        "category": "science",
    }
    assert alice.post(f"{RECORDS}prompts/new/", sent).status_code == 302
    prompt = Prompt.objects.get()
    assert prompt.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "为什么天是蓝的？"},
    ]
    assert (prompt.split, prompt.category) == ("eval", "science")
    again = alice.post(f"{RECORDS}prompts/new/", sent)
    assert again.status_code == 422
    assert "this project has the prompt already" in again.content.decode()
    more = alice.post(f"{RECORDS}prompts/new/", {**sent, "add-message": "1"})
    assert [form["role"].value() for form in more.context["formset"]] == ["system", "user", "assistant"]
    for content, why in (("", "messages"), (" ", "messages")):
        refused = alice.post(f"{RECORDS}prompts/new/", {**sent, "form-1-content": content})
        assert refused.status_code == 422
        assert why in refused.content.decode()
    assert AuditEvent.objects.filter(action="prompt-added").count() == 1


def edited(text, **more):
    sent = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-role": "user", "form-0-content": text}
    return {**sent, "close_tasks": "on", **more}


def test_an_edited_prompt_is_a_new_version_with_the_same_split(
    alice, project, annotator, open_ranking_task, make_prompt
):
    old = make_prompt("Waht is love?", split=Split.EVAL, external_id="q1")
    open_ranking_task(prompt=old)
    response = alice.post(f"{RECORDS}prompts/{old.pk}/edit/", edited("What is love?", category="songs"))
    new = Prompt.objects.get(replaces=old)
    assert response.headers["Location"] == f"{RECORDS}prompts/{new.pk}/"
    assert (new.last_message, new.split, new.external_id, new.category) == ("What is love?", "eval", "q1", "songs")
    old.refresh_from_db()
    assert old.withdrawn_at
    assert old.completions.count() == 4
    assert queue.claim_next(project=project, by=annotator) is None
    page = alice.get(f"{RECORDS}prompts/{old.pk}/").content.decode()
    assert f"Replaced by prompt {new.pk}" in page
    again = alice.post(f"{RECORDS}prompts/{old.pk}/edit/", edited("What is life?"))
    assert again.status_code == 422
    assert "edited already" in again.content.decode()
    assert "replaced by a newer version" in change(alice, "prompts", "unarchive", [old.pk])


def test_an_edit_of_the_category_alone_makes_no_version(alice, make_prompt):
    prompt = make_prompt("Same text")
    alice.post(f"{RECORDS}prompts/{prompt.pk}/edit/", edited("Same text", category="new"))
    assert Prompt.objects.get().category == "new"
    other = make_prompt("Other text")
    refused = alice.post(f"{RECORDS}prompts/{other.pk}/edit/", edited("Same text"))
    assert "has a prompt with this text already" in refused.content.decode()


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
