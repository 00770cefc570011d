"""What people said as rows of a snapshot. Expected rows are written out by hand."""

from __future__ import annotations

import io
import json
import uuid
from datetime import datetime

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation.actions import judgments, queue, snapshots
from annotation.errors import NotPossible
from annotation.models import (
    Completion,
    ImportedJudgment,
    ImportedLabel,
    Membership,
    PolicyVersion,
    Role,
    SnapshotType,
    Source,
    Split,
)

pytestmark = [pytest.mark.django_db, pytest.mark.database]

PROMPT = [{"role": "user", "content": "Say hello."}]


@pytest.fixture
def judge(project):
    """Somebody new answers the next seat: with tiers of texts, or with a text of their own."""

    def answer(said, unacceptable=()) -> User:
        person = User.objects.create_user(f"judge-{User.objects.count()}")
        Membership.objects.create(project=project, user=person, role=Role.ANNOTATOR)
        seat = queue.claim_next(project=project, by=person)
        if isinstance(said, str):
            given = {"text": said, "derived_from": None}
        else:
            pk = {completion.text: completion.pk for completion in seat.task.candidates.all()}
            tiers = [[pk[text] for text in tier] for tier in said]
            given = {"tiers": tiers, "unacceptable": [pk[text] for text in unacceptable], "rationale": ""}
        judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=given, active_ms=900)
        return person

    return answer


def rows_of(project, type: SnapshotType) -> tuple[list[dict], dict[str, int]]:
    snapshot = snapshots.take_snapshot(project=project, by=None, type=type)
    rows = [json.loads(line) for line in snapshot.path.read_text("utf-8").splitlines()]
    assert snapshot.rows == len(rows)
    return rows, snapshot.counts


def test_a_ranking_row_keeps_ties_contradictions_and_who_said_what(project, open_ranking_task, make_prompt, judge):
    prompt = make_prompt("Say hello.", split=Split.TRAIN)
    task = open_ranking_task(["Hello!", "Hm.", "Hi."], prompt=prompt, seats=2)
    Completion.objects.filter(text="Hm.").update(finished=False)
    newer = PolicyVersion.objects.create(
        project=project, number=3, checkpoint="/models/v3", parent=project.policies.get(number=0)
    )
    Completion.objects.filter(text="Hi.").update(policy=newer)
    first = judge([["Hello!", "Hi."], ["Hm."]], unacceptable=["Hm."])
    second = judge([["Hm."], ["Hi."], ["Hello!"]])
    open_ranking_task()  # nobody has judged it
    rows, counts = rows_of(project, SnapshotType.RANKING)
    assert all(datetime.fromisoformat(said.pop("at")) for said in rows[0]["rankings"])
    assert rows == [
        {
            "prompt": PROMPT,
            "candidates": [
                {"text": "Hello!", "finished": True},
                {"text": "Hm.", "finished": False},
                {"text": "Hi.", "finished": True},
            ],
            "rankings": [
                {
                    "tiers": [[0, 2], [1]],
                    "unacceptable": [1],
                    "unranked": [],
                    "strength": -1,
                    "margin": -1.0,
                    "ratings": [],
                    "weight": 1.0,
                    "annotator": f"annotator-{first.pk}",
                },
                {
                    "tiers": [[1], [2], [0]],
                    "unacceptable": [],
                    "unranked": [],
                    "strength": -1,
                    "margin": -1.0,
                    "ratings": [],
                    "weight": 1.0,
                    "annotator": f"annotator-{second.pk}",
                },
            ],
            "prompt_id": prompt.pk,
            "group_id": task.pk,
            "split": "train",
            "policy": 3,
        }
    ]
    # One more puts Hi. above Hello! than below; on the other two pairs they contradict each other.
    assert counts == {
        "rankings": 2,
        "train tasks": 1,
        "train pairs": 1,
        "ties": 2,
        "annotators": 2,
        "tasks without a ranking": 1,
    }


def test_rankings_that_only_tie_are_nothing_to_learn_from(project, open_ranking_task, judge):
    open_ranking_task(["Yes.", "No."])
    judge([["Yes.", "No."]])
    with pytest.raises(NotPossible, match="No ranking prefers"):
        snapshots.take_snapshot(project=project, by=None, type=SnapshotType.RANKING)
    assert list(snapshots.Path(snapshots.settings.SNAPSHOT_DIR).iterdir()) == []


def test_completions_are_references_and_what_all_put_first(project, open_ranking_task, make_prompt, judge):
    prompt = make_prompt("Say hello.", split=Split.EVAL)
    open_ranking_task(["Hi."], prompt=prompt, kind="reference")
    judge("Good morning!")
    written = Completion.objects.get(source=Source.PERSON)

    open_ranking_task(["Agreed.", "Other."], prompt=prompt, seats=2)
    judge([["Agreed."], ["Other."]])
    judge([["Agreed."], ["Other."]])
    open_ranking_task(["This.", "That."], prompt=prompt, seats=2)
    judge([["This."], ["That."]])
    judge([["That."], ["This."]])
    open_ranking_task(["Tied.", "Alike."], prompt=prompt)
    judge([["Tied.", "Alike."]])
    open_ranking_task(["Rude.", "Ruder."], prompt=prompt)
    judge([["Rude."], ["Ruder."]], unacceptable=["Rude.", "Ruder."])
    blind = open_ranking_task(["Bad.", "Worse."], prompt=prompt)
    blind.candidates.add(written)
    judge([["Good morning!"], ["Bad."], ["Worse."]])

    rows, counts = rows_of(project, SnapshotType.PROMPT_COMPLETION)
    common = {"prompt": PROMPT, "prompt_id": prompt.pk, "split": "eval", "finished": True}
    assert rows == [
        {**common, "completion": [{"role": "assistant", "content": "Good morning!"}], "source": "reference"},
        {**common, "completion": [{"role": "assistant", "content": "Agreed."}], "source": "best_ranked"},
    ]
    assert counts == {
        "reference responses": 1,
        "rankings": 7,
        "best-ranked answers": 1,
        "tasks without one best answer": 2,
        "best answers that are unacceptable": 1,
        "best answers that are in it already": 1,
    }


def test_the_better_answers_of_imported_pairs_are_imitated_as_imported(project, policy, make_prompt):
    prompt = make_prompt("Say hello.", split=Split.TRAIN)
    good, bad, worse = (
        Completion.objects.create(prompt=prompt, source=Source.IMPORTED, text=text, origin="import", index=index)
        for index, text in enumerate(("Hello!", "What?", "Go away."))
    )
    for other in (bad, worse):
        group = ImportedJudgment.group_of([good.pk, other.pk])
        ImportedJudgment.objects.create(prompt=prompt, group=group, digest=group, tiers=[[good.pk], [other.pk]])
    rows, counts = rows_of(project, SnapshotType.PROMPT_COMPLETION)
    assert [(row["completion"][0]["content"], row["source"]) for row in rows] == [("Hello!", "imported")]
    assert counts["better answers of imported pairs"] == 1
    assert counts["best answers that are in it already"] == 1


def test_nothing_to_imitate_is_said(project, policy):
    with pytest.raises(NotPossible, match="reference response"):
        snapshots.take_snapshot(project=project, by=None, type=SnapshotType.PROMPT_COMPLETION)


@pytest.mark.parametrize("type", SnapshotType)
def test_many_tasks_take_no_more_queries_than_few(
    project, ranked_task, make_prompt, accept_proposal, django_assert_num_queries, type
):
    accept_proposal()
    ranked_task(["Best.", "Worst."], prompt=make_prompt())
    ImportedLabel.objects.create(project=project, text="Hm.", label="mood", digest="0", split=Split.TRAIN)
    with CaptureQueriesContext(connection) as few:
        snapshots.take_snapshot(project=project, by=None, type=type)
    for _ in range(12):
        ranked_task(["Best.", "Worst."], prompt=make_prompt())
        accept_proposal()
    with django_assert_num_queries(len(few)):
        snapshots.take_snapshot(project=project, by=None, type=type)


@pytest.mark.parametrize(
    ("type", "rows", "word"),
    [("preference", 3, "pairs"), ("ranking", 1, "ranked tasks"), ("prompt-completion", 1, "responses")],
)
def test_page_api_and_command_take_the_type_that_is_asked_for(project, ranked_task, admin, as_user, type, rows, word):
    client = as_user(admin)
    page = client.post("/projects/letters/snapshots/", {"type": type}, follow=True).content.decode()
    assert f"Snapshot 1 created: {rows} {word}." in page
    made = client.post("/api/v1/projects/letters/snapshots/", {"type": type}, content_type="application/json").json()
    assert (made["number"], made["type"], made["rows"]) == (2, type, rows)
    out = io.StringIO()
    call_command("take_snapshot", project="letters", type=type, stdout=out)
    assert f"snapshot 3: {rows} {word}, sha256 {made['sha256']}" in out.getvalue()


def test_a_type_that_does_not_exist_is_refused(project, ranked_task, admin, as_user):
    client = as_user(admin)
    assert (
        "not one of the available choices"
        in client.post("/projects/letters/snapshots/", {"type": "gossip"}).content.decode()
    )
    answer = client.post("/api/v1/projects/letters/snapshots/", {"type": "gossip"}, content_type="application/json")
    assert answer.status_code == 400
    assert "gossip" in str(answer.json())
    assert project.snapshots.count() == 0
