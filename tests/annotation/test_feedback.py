"""Feedback of end users: a product sends it by key, and each is there once with its texts."""

from __future__ import annotations

import json
import uuid
from contextlib import nullcontext
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from annotation.actions import feedback_erasure
from annotation.actions.snapshots import take_snapshot
from annotation.actions.tasks import open_task
from annotation.actions.tokens import make_token
from annotation.errors import NotPossible
from annotation.judged.counted import Filter
from annotation.models import (
    Assignment,
    AuditEvent,
    Completion,
    DatasetSnapshot,
    Feedback,
    Prompt,
    Scope,
    SnapshotType,
    Task,
)

pytestmark = [pytest.mark.django_db, pytest.mark.database]

API = "/api/v1/projects/letters/feedback/"
SENT = {"key": "a-1", "prompt": "Which tea?", "response": "Green tea.", "thumb": "down"}


@pytest.fixture
def product(admin) -> Client:
    """A program with a token that can send feedback and nothing else."""
    _, token = make_token(user=admin, name="product", scopes=[Scope.FEEDBACK])
    return Client(headers={"Authorization": f"Bearer {token}"})


def send(client: Client, body, path: str = API):
    return client.post(path, body, content_type="application/json")


def test_the_same_key_is_stored_once_and_later_feedback_updates_it(product, project):
    first = send(product, {**SENT, "user": "u7", "metadata": {"page": "home"}})
    assert (first.status_code, first.json()["status"]) == (201, "created")
    again = send(product, SENT)
    assert (again.status_code, again.json()) == (200, {**first.json(), "status": "unchanged"})
    later = send(product, {"key": "a-1", "thumb": None, "edit": "Mint tea.\r\n", "comment": "No caffeine."})
    assert later.json()["status"] == "updated"
    stored = Feedback.objects.get()
    assert (stored.thumb, stored.edit.text, stored.comment, stored.user) == ("", "Mint tea.", "No caffeine.", "u7")
    assert (stored.updates, stored.metadata) == (1, {"page": "home"})
    assert stored.completion.text == "Green tea."


def test_texts_are_stored_once_and_cleaned_as_those_of_files(product, project, make_prompt):
    known = make_prompt("Which tea?")
    for number in range(3):
        body = {**SENT, "key": f"k{number}", "prompt": " Which tea?\u0007\n", "response": "Green\x00 tea. "}
        assert send(product, body).status_code == 201
    assert Prompt.objects.get() == known
    assert Completion.objects.get().text == "Green tea."
    chosen = {"key": "two", "prompt": "Which tea?", "response": "Green tea.", "alternative": "Coffee.", "chosen": "tie"}
    assert send(product, chosen).status_code == 201
    assert set(Completion.objects.values_list("text", "source", "origin")) == {
        ("Green tea.", "imported", "feedback"),
        ("Coffee.", "imported", "feedback"),
    }


def test_an_update_keeps_what_was_said_before(product, project, alice):
    """The second request brings two updates of one key, so that both are in one transaction."""
    send(product, {**SENT, "edit": "Mint tea.", "score": 2, "score_range": [1, 5]})
    later = [{"key": "a-1", "thumb": "up", "edit": None}, {"key": "a-1", "thumb": "up", "score": 4, "comment": "Fine."}]
    assert send(product, {"feedback": later}, f"{API}batch/").json()["updated"] == 2
    stored = Feedback.objects.get()
    assert (stored.thumb, stored.edit, stored.score, stored.score_max) == ("up", None, 4.0, 5.0)
    before = [{"edit": "Mint tea.", "thumb": "down"}, {"score": 2.0, "comment": ""}]
    assert list(stored.changes.values_list("number", "before")) == list(enumerate(before, 1))
    (row,) = alice.get(API).json()["results"]
    assert [each["before"] for each in row["changes"]] == before
    page = alice.get(PAGE).content.decode()
    assert "Updated 2 times" in page
    assert "Score 4.0, from 1.0 to 5.0" in page
    (line,) = b"".join(alice.get(PAGE, {"as": "jsonl"})).decode().splitlines()
    assert [each["before"] for each in json.loads(line)["changes"]] == before
    send(product, {"key": "a-1", "score": None})
    assert Feedback.objects.get().score_max is None


PRIVATE = {
    **SENT,
    "prompt": [{"role": "user", "content": "I am eve@example.org, call +49 30 1234567."}],
    "response": "Hello eve@example.org!",
    "comment": "Card 4111 1111 1111 1111.",
    "metadata": {"client": {"ip": "203.0.113.9", "seen": ["203.0.113.10", 7]}},
}


def test_personal_data_is_masked_and_counted_unless_the_project_says_otherwise(product, project, alice):
    sent = send(product, PRIVATE).json()
    assert sent["masked"] == {"email": 2, "phone": 1, "card": 1, "ip": 2}
    assert send(product, PRIVATE).json() == {**sent, "status": "unchanged"}
    stored = Feedback.objects.get()
    assert stored.prompt.messages == [{"role": "user", "content": "I am [email], call [phone]."}]
    assert (stored.completion.text, stored.comment) == ("Hello [email]!", "Card [card].")
    assert stored.metadata == {"client": {"ip": "[ip]", "seen": ["[ip]", 7]}}
    both = send(product, {"feedback": [PRIVATE, {**SENT, "key": "b", "comment": "a@b.example"}]}, f"{API}batch/")
    assert both.json()["masked"] == {"email": 3, "phone": 1, "card": 1, "ip": 2}
    assert (
        alice.patch("/api/v1/projects/letters/", {"mask_feedback": False}, content_type="application/json").json()[
            "mask_feedback"
        ]
        is False
    )
    assert send(product, {**PRIVATE, "key": "c", "user": "eve@example.org"}).json()["masked"] == {}
    assert Feedback.objects.get(key="c").completion.text == "Hello eve@example.org!"


def test_an_end_user_is_erased_with_the_texts_that_nothing_else_needs(product, project, alice, bob, make_prompt):
    """Bob is an annotator. The second response stands in a task, the last one belongs to another end user, too."""
    kept = make_prompt("Which tea?")
    send(product, {**SENT, "user": "u7", "edit": "My tea."})
    send(product, {"key": "a-1", "edit": "Your tea."})
    send(product, {**SENT, "key": "b", "user": "u7", "prompt": "My question?", "response": "My answer."})
    send(product, {**SENT, "key": "c", "user": "u7", "prompt": "My other question?", "response": "Mine."})
    send(product, {**SENT, "key": "d", "user": "u8"})
    asked, shown = Prompt.objects.get(digest__in=[Feedback.objects.get(key="b").prompt.digest]), "My answer."
    task = open_task(prompt=asked, kind="unary", candidates=asked.completions.all(), seats=2)
    assert send(product, {"user": "u7"}, f"{API}erase/").status_code == 403
    assert send(bob, {"user": "u7"}, f"{API}erase/").status_code == 403
    assert bob.post(f"{PAGE}erase/", {"user": "u7"}).status_code == 403
    page = alice.get(PAGE, {"user": "u7"}).content.decode()
    assert "Erase this end user" in page
    done = alice.post(f"{PAGE}erase/", {"user": "u7"}, follow=True).content.decode()
    assert "Erased: 3 feedback. Texts: 4 deleted, 2 emptied." in done
    assert list(Feedback.objects.values_list("key", flat=True)) == ["d"]
    assert set(Prompt.objects.values_list("pk", flat=True)) == {kept.pk, asked.pk}
    asked.refresh_from_db()
    assert (asked.messages[0]["content"], asked.withdrawn_at is None) == ("[removed]", False)
    assert set(Completion.objects.values_list("text", flat=True)) == {"Green tea.", ""}
    assert not Completion.objects.filter(text=shown).exists()
    assert not task.assignments.exists()
    erased = AuditEvent.objects.get(action="feedback-erased")
    assert "u7" not in f"{erased.what} {erased.detail}"
    assert send(alice, {"user": "u7"}, f"{API}erase/").json() == {
        "feedback": 0,
        "deleted": 0,
        "emptied": 0,
        "snapshots": [],
    }


def test_feedback_goes_after_the_days_that_a_project_keeps_it(product, project):
    send(product, SENT)
    send(product, {**SENT, "key": "b", "prompt": "Why?"})
    Feedback.objects.filter(key="b").update(updated_at=timezone.now() - timedelta(days=31))
    assert feedback_erasure.delete_old() == 0
    type(project).objects.update(feedback_days=30)
    assert feedback_erasure.delete_old() == 1
    assert Prompt.objects.get().messages[0]["content"] == "Which tea?"


def test_a_response_can_be_named_by_its_id_and_gives_its_version(product, project, policy, make_prompt):
    response = Completion.objects.create(prompt=make_prompt("Hm?"), source="policy", policy=policy, text="Yes.")
    assert send(product, {"key": "x", "response_id": response.pk, "score": 0.5}).status_code == 201
    stored = Feedback.objects.get()
    assert (stored.completion, stored.version, stored.score) == (response, "v0", 0.5)
    refused = send(product, {"key": "y", "response_id": response.pk + 1, "score": 1})
    assert refused.json() == {"errors": {"response_id": f"This project has no response {response.pk + 1}."}}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key": ""}, "key"),
        ({"key": "x" * 101}, "key"),
        ({"key": 7}, "key"),
        ({"thumb": "sideways"}, "thumb"),
        ({"thumb": None}, "thumb"),
        ({"score": "4"}, "score"),
        ({"score": 1e9}, "score"),
        ({"score": True}, "score"),
        ({"score": 6, "score_range": [1, 5]}, "score"),
        ({"score_range": [1, 5]}, "score_range"),
        ({"score": 3, "score_range": [5, 1]}, "score_range"),
        ({"score": 3, "score_range": ["1", 5]}, "score_range"),
        ({"key": "thumb of eve@example.org"}, "key"),
        ({"user": "eve@example.org"}, "user"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "  "}, "prompt"),
        ({"prompt": [{"role": "assistant", "content": "Hi"}]}, "prompt"),
        ({"prompt": [{"role": "narrator", "content": "Hi"}]}, "prompt"),
        ({"response": None}, "response"),
        ({"response": "x" * 20_001}, "response"),
        ({"edit": "Green tea. "}, "edit"),
        ({"edit": 3}, "edit"),
        ({"alternative": "Coffee."}, "chosen"),
        ({"chosen": "response"}, "alternative"),
        ({"comment": "x" * 5_001}, "comment"),
        ({"user": ["u"]}, "user"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"a": "x" * 5_000}}, "metadata"),
        ({"response_id": 4}, "response_id"),
        ({"raiting": 1}, "raiting"),
    ],
)
def test_what_cannot_be_stored_is_named_by_its_field_and_leaves_nothing(product, project, change, field):
    refused = send(product, {**SENT, **change})
    assert refused.status_code == 400
    assert list(refused.json()["errors"]) == [field]
    assert not Prompt.objects.exists()
    assert not Feedback.objects.exists()


def test_another_response_under_a_known_key_is_refused_and_changes_nothing(product, project):
    send(product, SENT)
    for change, field in [({"response": "Black tea."}, "response"), ({"prompt": "Which cup?"}, "prompt")]:
        refused = send(product, {**SENT, **change, "thumb": "up"})
        assert list(refused.json()["errors"]) == [field]
    assert list(send(product, {"key": "a-1", "thumb": None}).json()["errors"]) == ["thumb"]
    assert Feedback.objects.get().thumb == "down"


def test_a_batch_stores_what_it_can_and_names_the_others(product, project):
    sent = [SENT, {**SENT, "key": "a-2", "prompt": "Why?"}, {"key": "a-3", "thumb": "up"}, {"key": "a-1", "score": 2}]
    refused = send(product, {"feedback": [*sent, 7]}, f"{API}batch/")
    assert refused.status_code == 400
    body = refused.json()
    assert [(each["place"], each["key"], *each["errors"]) for each in body["errors"]["feedback"]] == [
        (2, "a-3", "prompt"),
        (4, "", "detail"),
    ]
    assert (body["created"], body["updated"], body["unchanged"]) == (2, 1, 0)
    assert set(Feedback.objects.values_list("key", "thumb", "score")) == {("a-1", "down", 2.0), ("a-2", "down", None)}
    again = send(product, {"feedback": [sent[0], sent[1]]}, f"{API}batch/")
    assert (again.status_code, again.json()) == (200, {"created": 0, "updated": 0, "unchanged": 2, "masked": {}})
    many = send(product, {"feedback": [SENT] * 501}, f"{API}batch/")
    assert "1 to 500" in many.json()["errors"]["feedback"]


def test_only_admins_with_the_scope_send_and_read(product, project, annotator, stranger, admin, as_user):
    assert product.get(API).status_code == 403
    assert product.get("/api/v1/projects/letters/prompts/").status_code == 403
    assert send(as_user(annotator), SENT).status_code == 403
    assert send(as_user(stranger), SENT).status_code == 404
    send(product, {**SENT, "version": "v3"})
    send(product, {**SENT, "key": "b", "thumb": "up"})
    reader = as_user(admin)
    (row,) = reader.get(API, {"signal": "down", "version": "v3"}).json()["results"]
    assert (row["key"], row["response"], row["messages"]) == (
        "a-1",
        "Green tea.",
        [{"role": "user", "content": "Which tea?"}],
    )
    assert [each["key"] for each in reader.get(API).json()["results"]] == ["b", "a-1"]
    assert reader.get(API, {"signal": "sad"}).status_code == 400


def test_two_texts_with_one_number_are_both_stored(product, project, monkeypatch):
    monkeypatch.setattr("annotation.actions.feedback.number_of", lambda _: 2**31 - 1)
    send(product, SENT)
    send(product, {**SENT, "key": "b", "response": "Black tea."})
    send(product, {**SENT, "key": "c", "response": "Black tea."})
    assert sorted(Completion.objects.values_list("text", "index")) == [("Black tea.", 0), ("Green tea.", 2**31 - 1)]


@pytest.mark.parametrize(
    "change",
    [
        {"score": 6, "score_min": 1, "score_max": 5},
        {"key": ""},
        {"thumb": "odd"},
        {"thumb": ""},
        {"score": 1e7},
        {"chosen": "tie"},
    ],
)
def test_the_database_keeps_what_is_always_true(product, project, change):
    send(product, SENT)
    with pytest.raises(IntegrityError), transaction.atomic():
        Feedback.objects.update(**change)


PAGE = "/projects/letters/feedback/"


def test_the_page_shows_how_to_send_before_anything_came(alice, project):
    page = alice.get(PAGE).content.decode()
    assert "urllib.request" in page
    assert "http://testserver/api/v1/projects/letters/feedback/" in page
    assert "await fetch" in page


def test_the_page_lists_counts_filters_and_gives_files(alice, product, project):
    send(product, {**SENT, "version": "v3", "comment": "<b>Too</b> bitter.", "user": "u7"})
    send(product, {**SENT, "key": "b", "thumb": "up", "version": "v4", "edit": "=Mint tea."})
    page = alice.get(PAGE).content.decode()
    prompt = Prompt.objects.get()
    assert f"/projects/letters/records/prompts/{prompt.pk}/" in page
    assert "&lt;b&gt;Too&lt;/b&gt; bitter." in page
    counts = {row["version"]: row for row in alice.get(PAGE).context["counts"]}
    assert (counts["v3"]["down"], counts["v3"]["comments"], counts["v4"]["up"], counts["v4"]["edits"]) == (1, 1, 1, 1)
    bad = alice.get(PAGE, {"signal": "down"}).context["rows"]
    assert [row.key for row in bad] == ["a-1"]
    assert "No feedback matches this filter" in alice.get(PAGE, {"version": "v9"}).content.decode()
    assert alice.get(PAGE, {"signal": "sad"}).status_code == 422
    lines = b"".join(alice.get(PAGE, {"as": "jsonl"})).decode().splitlines()
    newest = json.loads(lines[0])
    assert (newest["key"], newest["edit"], newest["prompt"]) == (
        "b",
        "=Mint tea.",
        [{"role": "user", "content": "Which tea?"}],
    )
    table = b"".join(alice.get(PAGE, {"as": "csv", "signal": "edit"})).decode()
    assert "'=Mint tea." in table
    assert "a-1" not in table
    assert set(AuditEvent.objects.filter(action="downloaded").values_list("what", flat=True)) == {
        "letters-feedback.jsonl",
        "letters-feedback.csv",
    }


def test_older_feedback_is_on_the_next_page(alice, product, project):
    send(product, {"feedback": [{**SENT, "key": f"k{number:02}"} for number in range(52)]}, f"{API}batch/")
    first = alice.get(PAGE)
    assert len(first.context["rows"]) == 50
    rest = alice.get(PAGE, {"before": first.context["next"]})
    assert [row.key for row in rest.context["rows"]] == ["k01", "k00"]
    assert alice.get(PAGE, {"before": "9" * 400}).status_code == 200


@pytest.fixture
def several(product) -> list[int]:
    """Three thumbs on one response, a choice of two, an edit; return their ids by the order of their keys."""
    two = {**SENT, "key": "b", "prompt": "Why?", "alternative": "Who knows.", "chosen": "alternative", "thumb": None}
    sent = [
        *({**SENT, "key": f"a-{number}", "user": f"u{number}"} for number in range(3)),
        two,
        {**SENT, "key": "c", "prompt": "Which cup?", "edit": "The blue cup.", "version": "v2"},
    ]
    assert send(product, {"feedback": sent}, f"{API}batch/").status_code == 200
    return list(Feedback.objects.order_by("key").values_list("pk", flat=True))


def test_feedback_becomes_tasks_once_for_each_set_of_texts(product, project, several, alice, bob):
    page = alice.post(f"{PAGE}queue/", {"do": "unary", "everything": "1", "priority": "3"}, follow=True)
    said = page.content.decode()
    assert "3 tasks created. 2 feedback without a task: about the same texts as another." in said
    assert set(Task.objects.values_list("kind", "seats", "priority")) == {("unary", project.seats_per_task, 3)}
    again = send(alice, {"kind": "unary"}, f"{API}queue/").json()
    assert (again["opened"], again["left"]["in a task already"]) == (0, 3)
    compared = send(alice, {"kind": "ranking", "ids": several[2:]}, f"{API}queue/").json()
    assert (compared["opened"], compared["left"]) == (2, {"there is nothing to compare the response with": 1})
    written = send(alice, {"kind": "reference", "filter": {"version": "v2"}}, f"{API}queue/").json()
    assert written["opened"] == 1
    texts = {(task.kind, *sorted(task.candidates.values_list("text", flat=True))) for task in Task.objects.all()}
    assert texts == {
        ("unary", "Green tea."),
        ("ranking", "Green tea.", "Who knows."),
        ("ranking", "Green tea.", "The blue cup."),
        ("reference", "Green tea.", "The blue cup."),
    }
    work = bob.post("/projects/letters/annotate/", follow=True).content.decode()
    assert "Green tea." in work
    assert "u0" not in work
    refused = [product.post(f"{API}queue/", {"kind": "unary"}, content_type="application/json")]
    refused += [send(bob, {"kind": "unary"}, f"{API}queue/"), bob.post(f"{PAGE}queue/", {"do": "unary"})]
    assert [each.status_code for each in refused] == [403, 403, 403]


def test_tasks_of_feedback_are_bounded_and_go_on_where_they_stopped(project, several, alice, monkeypatch):
    monkeypatch.setattr("annotation.actions.feedback_tasks.MOST_OPENED", 2)
    first = send(alice, {"kind": "unary"}, f"{API}queue/").json()
    assert (first["opened"], first["more"]) == (2, True)
    rest = send(alice, {"kind": "unary"}, f"{API}queue/").json()
    assert (rest["opened"], rest["more"], rest["left"]["in a task already"]) == (1, False, 2)
    nothing = alice.post(f"{PAGE}queue/", {"do": "unary"}, follow=True).content.decode()
    assert "Select at least one feedback." in nothing
    assert (
        "Give a list of IDs" in alice.post(f"{PAGE}queue/", {"do": "unary", "ids": "x"}, follow=True).content.decode()
    )


def test_an_edit_is_a_reference_response_only_once_a_person_accepted_it(product, project, several, alice):
    """The same edit that comes again later is no second reference, and erasing its end user takes both away."""

    def references() -> list[str]:
        with pytest.raises(NotPossible, match="no best-ranked") if not accepted else nullcontext():
            taken = take_snapshot(project=project, by=None, type=SnapshotType.PROMPT_COMPLETION)
            return [json.loads(line)["completion"][0]["content"] for line in taken.path.read_text("utf-8").splitlines()]
        return []

    accepted = False
    assert references() == []
    all_at_once = alice.post(f"{PAGE}queue/", {"do": "accept", "everything": "1"}, follow=True).content.decode()
    assert "Select the edits that you have read, one by one." in all_at_once
    assert "Select feedback with an edit." in (
        alice.post(f"{PAGE}queue/", {"do": "accept", "ids": several[0]}, follow=True).content.decode()
    )
    assert "1 edit accepted." in (
        alice.post(f"{PAGE}queue/", {"do": "accept", "ids": several}, follow=True).content.decode()
    )
    accepted = True
    assert references() == ["The blue cup."]
    send(product, {**SENT, "key": "d", "user": "u9", "prompt": "Which cup?", "edit": "The blue cup."})
    assert references() == ["The blue cup."]
    send(product, {"key": "c", "user": "u9"})
    assert send(alice, {"user": "u9"}, f"{API}erase/").json()["feedback"] == 2
    assert not Completion.objects.filter(text="The blue cup.").exists()


def rows_of(project, kind: SnapshotType, **wanted) -> tuple[list[dict], DatasetSnapshot]:
    taken = take_snapshot(project=project, by=None, type=kind, wanted=Filter(**wanted))
    return [json.loads(line) for line in taken.path.read_text("utf-8").splitlines()], taken


def test_thumbs_join_a_snapshot_only_where_it_asks_for_them(product, project, alice, bob, annotator, make_prompt):
    """Of two end users one changed their mind, a third has no hash: good by 2 to 1. Bob judged the other response."""
    for text, split in [("Why?", "train"), ("How so?", "train"), ("Held out?", "eval")]:
        make_prompt(text, split=split)
    sent = [
        {**SENT, "prompt": "Why?", "key": "a", "user": "u1", "thumb": "down"},
        {**SENT, "prompt": "Why?", "key": "b", "user": "u2", "thumb": "up"},
        {**SENT, "prompt": "Why?", "key": "c", "thumb": "down"},
        {**SENT, "prompt": "Why?", "key": "d", "user": "u1", "thumb": "up"},
        {**SENT, "prompt": "How so?", "key": "e", "thumb": "up"},
        {**SENT, "prompt": "Held out?", "key": "f", "thumb": "up"},
    ]
    send(product, {"feedback": sent}, f"{API}batch/")
    send(alice, {"kind": "unary", "ids": [Feedback.objects.get(key="e").pk]}, f"{API}queue/")
    bob.post("/projects/letters/annotate/")
    seat = Assignment.objects.get(annotator=annotator)
    answer = {"client_uuid": str(uuid.uuid4()), "active_ms": 900, "good": "false"}
    assert bob.post(f"{seat.get_absolute_url()}submit/", answer).status_code == 302
    plain, taken = rows_of(project, SnapshotType.UNPAIRED)
    assert [(row["source"], row["label"]) for row in plain] == [("unary", False)]
    assert "end_users" not in taken.card
    rows, taken = rows_of(project, SnapshotType.UNPAIRED, end_users=True, end_user_weight=0.25)
    assert [(row["source"], row["label"], row["votes_good"], row["votes_bad"]) for row in rows] == [
        ("unary", False, 0, 1),
        ("end_users", True, 2, 1),
    ]
    assert taken.card["end_users"] == {"up": 2, "down": 1, "weight": 0.25, "share": 0.75}
    assert taken.card["people"] == {f"annotator-{annotator.pk}": 1}
    assert taken.card["agreement"]["compared"] == 0
    counted = {name: count for name, count in taken.counts.items() if "thumbs" in name}
    assert counted == {
        "thumbs of end users": 3,
        "earlier thumbs of the same end user": 1,
        "thumbs on held-out prompts": 1,
        "thumbs on responses that annotators judged": 1,
    }
    ranked, _ = rows_of(project, SnapshotType.RANKING, end_users=True, end_user_weight=0.25)
    assert [(each["annotator"], each["weight"]) for each in ranked[-1]["rankings"]] == [("end_users", 0.25)] * 3
    page = alice.get(f"/projects/letters/snapshots/{taken.number}/").content.decode()
    assert "of the judgments are thumbs of end users, each with weight 0.25." in page
    asked = {"type": "unpaired-preference", "filter": {"end_users": True}}
    address = "/api/v1/projects/letters/snapshots/"
    assert "weight above 0" in alice.post(address, asked, content_type="application/json").json()["detail"]
    asked = {"type": "preference", "filter": {"end_users": True, "end_user_weight": 1}}
    assert "unpaired" in alice.post(address, asked, content_type="application/json").json()["detail"]
    form = {"type": "unpaired-preference", "end_users": "on", "end_user_weight": "0.5", "since": "2999-01-01T00:00"}
    refused = alice.post("/projects/letters/snapshots/", form, follow=True).content.decode()
    assert "Or the filter excludes everything." in refused
