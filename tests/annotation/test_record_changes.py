"""The data browser over HTTP: bulk actions, prompts added and edited, what the history and the audit log say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from annotation.actions import queue, snapshots
from annotation.models import (
    Assignment,
    AuditEvent,
    Completion,
    Membership,
    Prompt,
    Ranking,
    RecordChange,
    Role,
    SeatStatus,
    Split,
    Task,
)
from tests.annotation.record_pages import RECORDS, change, judge

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def test_bulk_changes_are_in_the_audit_log_and_in_each_history(alice, make_prompt):
    one, two, three = make_prompt("One"), make_prompt("Two", category="kept"), make_prompt("Three")
    assert change(alice, "prompts", "category", [one.pk, two.pk], category="kept") == (
        "1 prompt changed. 1 unchanged: already in this category."
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
    assert "bob already has or had them" in again
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
    assert change(alice, "tasks", "close", [task.pk]) == "0 tasks changed. 1 unchanged: they have no open assignment."


def test_a_task_taken_out_of_the_queue_can_be_reopened(alice, project, annotator, open_ranking_task):
    task = open_ranking_task(seats=2)
    assert change(alice, "tasks", "close", [task.pk]) == "1 task changed."
    assert queue.claim_next(project=project, by=annotator) is None
    change(alice, "tasks", "reopen", [task.pk])
    assert queue.claim_next(project=project, by=annotator).task == task


def test_annotations_are_sent_back_in_bulk_by_reviewers(rita, project, annotator, open_ranking_task):
    open_ranking_task()
    seat = judge(project, annotator)
    assert "Write what should be corrected" in change(rita, "annotations", "send_back", [seat.pk])
    assert change(rita, "annotations", "send_back", [seat.pk], reason="Too quick.") == "1 annotation changed."
    assert not Ranking.objects.exists()
    assert queue.claim_next(project=project, by=annotator) == seat


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
    assert "this project already has the prompt" in again.content.decode()
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
    assert "already edited" in again.content.decode()
    assert "replaced by a newer version" in change(alice, "prompts", "unarchive", [old.pk])


def test_an_edit_of_the_category_alone_makes_no_version(alice, make_prompt):
    prompt = make_prompt("Same text")
    alice.post(f"{RECORDS}prompts/{prompt.pk}/edit/", edited("Same text", category="new"))
    assert Prompt.objects.get().category == "new"
    other = make_prompt("Other text")
    refused = alice.post(f"{RECORDS}prompts/{other.pk}/edit/", edited("Same text"))
    assert "already has a prompt with this text" in refused.content.decode()


def test_reviewers_look_and_only_admins_change(rita, alice, make_prompt):
    prompt = make_prompt()
    assert "Set category" not in rita.get(f"{RECORDS}prompts/").content.decode()
    refused = rita.post(f"{RECORDS}prompts/change/", {"do": "archive", "ids": [prompt.pk]})
    assert refused.status_code == 403
    assert rita.get(f"{RECORDS}prompts/{prompt.pk}/edit/").status_code == 403
    assert not RecordChange.objects.exists()
