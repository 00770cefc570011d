"""From a run's samples to proposals, the queue, the pool and the next run's examples."""

from __future__ import annotations

import json
import uuid
from collections import Counter

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from annotation.actions import judgments, queue
from annotation.exports.pool import pool
from annotation.models import Proposal, ProposalBatch, Task, Withdrawal
from training.actions.rounds import start_round
from training.instructions.data import rows_for
from training.instructions.form import Written
from training.instructions.funnel import funnel
from training.instructions.heuristics import REASONS
from training.instructions.pool import examples
from training.instructions.seeds import seed_tasks
from training.methods import InstructionTuningConfig
from training.models import RunStatus
from training.products import proposals
from training.products.proposals import store

pytestmark = [pytest.mark.django_db, pytest.mark.database]

PROPOSES = """
assert rows[0]["id"].startswith("seed:")
texts = [("Name an animal that can fly.", "", "Bat", True),
         ("Name an animal that can fly.", "", "Bat", True),
         ("Name some animal that can fly.", "", "Wren", True),
         ("Describe the image in a few words.", "", "A cat", True),
         ("Tell me about the wide sea", "", "It is", False),
         (rows[0]["instruction"], rows[0]["input"], "Anything", True)]
for number, (instruction, input, output, finished) in enumerate(texts):
    run.log_sample({"step": 1, "prompt_id": number, "instruction": instruction, "input": input, "output": output,
                    "finished": finished, "unparsed": "", "prompt": [{"role": "user", "content": "One more"}],
                    "examples": [rows[0]["id"]]})
run.log_sample({"step": 1, "prompt_id": 9, "instruction": "", "input": "", "output": "", "finished": True,
                "unparsed": "no_output", "prompt": [], "examples": []})
run.finish({"proposed": 7, "parsed": 6, "model": ""})
"""


def propose(project, make_worker, **settings):
    round = start_round(project=project, methods=["self_instruct"], by=None, settings={"self_instruct": settings})
    make_worker(self_instruct=PROPOSES).run_until_idle()
    round.refresh_from_db()
    assert round.status == RunStatus.SUCCEEDED
    return round


def test_a_run_becomes_proposals_and_those_worth_a_look_become_tasks(project, policy, make_worker):
    """No prompts are needed for this."""
    round = propose(project, make_worker, temperature=0.4)
    batch = ProposalBatch.objects.get()
    assert (batch.origin, batch.author, batch.proposed) == (f"run-{round.runs.get().pk}", "policy v0", 7)
    assert (batch.unparsed, batch.duplicates, batch.sampling["temperature"]) == ({"no_output": 1}, 1, 0.4)
    found = [(p.instruction[:9], p.refused_by, p.near_duplicate) for p in Proposal.objects.all()]
    assert (
        found
        == [
            ("Name an a", "", False),
            ("Name some", "", True),  # 5 of 6 and 6 words in common
            ("Describe ", "beyond_text", False),
            ("Tell me a", "unfinished", False),
            (seed_tasks()[0].instruction[:9], "repeats_prompt", False),
        ]
    )
    first, near = Proposal.objects.all()[:2]
    assert near.similarity == pytest.approx(10 / 12, abs=1e-4)
    assert near.similar[0] == {"id": f"proposal:{first.pk}", "text": first.instruction, "score": near.similarity}
    assert first.prompt == [{"role": "user", "content": "One more"}]
    assert first.examples == [f"seed:{seed_tasks()[0].id}"]
    assert [task.proposal for task in Task.objects.all()] == [first]


def test_tasks_are_compared_outside_of_the_transaction_of_the_runs_success(project, policy, make_worker, monkeypatch):
    """Somebody stores one of them meanwhile: it is found, and still nothing is computed while the database waits."""
    judge, depths, outside = proposals._judge, [], len(connection.savepoint_ids)

    def judged(*arguments):
        depths.append(len(connection.savepoint_ids))
        found = judge(*arguments)
        if len(depths) == 1:
            monkeypatch.setattr(proposals, "_judge", judge)
            other = [Written("Name an animal that can fly.", "", "Bat")]
            store(project=project, origin="file", proposed=1, unparsed=Counter(), tasks=other)
            monkeypatch.setattr(proposals, "_judge", judged)
        return found

    monkeypatch.setattr(proposals, "_judge", judged)
    propose(project, make_worker)
    assert depths == [outside, outside]
    batch = ProposalBatch.objects.exclude(origin="file").get()
    assert batch.proposed == 7
    assert Proposal.objects.filter(batch=batch).exists()


def test_near_duplicates_are_reviewed_where_one_wants_that(project, policy, make_worker):
    propose(project, make_worker, near_duplicates="review")
    assert [task.proposal.near_duplicate for task in Task.objects.all()] == [False, True]


def test_storing_the_same_batch_again_changes_nothing(project):
    task = Written("Name an animal that can fly.", "", "Bat")
    given = {"project": project, "origin": "run-1", "proposed": 1, "unparsed": Counter(), "tasks": [task]}
    assert store(**given) == store(**given)
    again = store(**{**given, "origin": "run-2"})
    assert (again.duplicates, Proposal.objects.count(), Task.objects.count()) == (1, 1, 1)


def review(project, person, **said):
    seat = queue.claim_next(project=project, by=person)
    answer = {"reason": "", "instruction": "", "input": "", "output": "", **said}
    judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=10)
    return seat.task.proposal


def test_only_what_people_accepted_is_in_the_pool_and_an_edit_counts_as_edited(project, annotator):
    tasks = [
        Written("Name a bird.", "", "Wren"),
        Written("Spell the word tree.", "", "t-r-e-e"),
        Written("Say something rude to me", "", "No"),
    ]
    store(project=project, origin="run-1", proposed=3, unparsed=Counter(), tasks=tasks)
    assert list(pool(project)) == []
    said = [
        {"verdict": "accept"},
        {"verdict": "edit", "instruction": "Name two trees.", "output": "A, B"},
        {"verdict": "reject", "reason": "harmful"},
    ]
    accepted, edited, rejected = (review(project, annotator, **one) for one in said)

    items = {item.proposal.pk: (item.instruction, item.output, item.edited) for item in pool(project)}
    assert items == {
        accepted.pk: (accepted.instruction, accepted.output, False),
        edited.pk: ("Name two trees.", "A, B", True),
    }
    own = [row for row in examples(project) if row["id"].startswith("proposal:")]
    assert {row["id"]: row["instruction"] for row in own} == {
        f"proposal:{accepted.pk}": accepted.instruction,
        f"proposal:{edited.pk}": "Name two trees.",
    }
    # What repeats an edited instruction is a near-duplicate, and so is what repeats one that was rejected.
    again = [Written("Name two plants.", "", "C"), Written(f"{rejected.instruction} now", "", "C")]
    store(project=project, origin="run-2", proposed=2, unparsed=Counter(), tasks=again, threshold=0.65)
    assert [p.near_duplicate for p in Proposal.objects.filter(batch__origin="run-2")] == [True, True]

    Withdrawal.objects.create(project=project, person=annotator)
    assert list(pool(project)) == []


TASKS = [
    Written("Name a bird.", "", "Wren", prompt=[{"role": "user", "content": "One <b>more</b>"}], examples=["seed:x"]),
    Written("Spell the word tree.", "slowly", "t-r-e-e"),
    Written("Say something rude to me", "", "No"),
    Written("Say something rude to him", "", "No"),  # 4 of 5 words
    Written("Draw me a sheep please", "", "Baa"),
]
PAGE = "/projects/letters/proposals/"
API = "/api/v1/projects/letters"


@pytest.fixture
def reviewed_batch(project, annotator):
    """Asked 9 times: 2 could not be read, 1 was there already; of 5, 1 is refused, 1 near, 3 reviewed."""
    store(
        project=project,
        origin="run-1",
        model="small",
        proposed=9,
        unparsed=Counter(no_output=2, empty=1),
        sampling={"temperature": 0.7},
        tasks=[*TASKS, TASKS[0]],
    )
    said = {
        "Name a bird.": {"verdict": "accept"},
        "Spell the word tree.": {
            "verdict": "edit",
            "instruction": "Spell this word.",
            "input": "tree",
            "output": "t-r-e-e",
        },
        "Say something rude to me": {"verdict": "reject", "reason": "harmful"},
    }
    for _ in range(3):
        seat = queue.claim_next(project=project, by=annotator)
        answer = {"reason": "", "instruction": "", "input": "", "output": "", **said[seat.task.proposal.instruction]}
        judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=2000)


def test_the_funnel_counts_every_step(project, reviewed_batch):
    assert [(step.name, step.count, step.lost) for step in funnel(project)] == [
        ("Proposed", 9, {}),
        ("Parsed", 6, {"there is no output": 2, "nothing was written": 1}),
        ("New", 5, {"exact duplicate": 1}),
        ("Passed the rules", 4, {REASONS["beyond_text"]: 1}),
        ("Sent to annotators", 3, {"near duplicate": 1}),
        ("Reviewed", 3, {}),
        ("Accepted", 2, {"harmful or private": 1}),
    ]
    assert funnel(project)[-1].note == "1 of them with changes"


def test_the_page_filters(project, admin, as_user, reviewed_batch):
    shown = {
        show: [row.instruction for row, _ in as_user(admin).get(PAGE, {"show": show}).context["rows"]]
        for show in ("", "waiting", "accepted", "edited", "rejected", "near", "refused", "nonsense")
    }
    assert len(shown[""]) == len(shown["nonsense"]) == 5
    assert shown["waiting"] == []
    assert shown["accepted"] == ["Spell the word tree.", "Name a bird."]
    assert shown["edited"] == ["Spell the word tree."]
    assert shown["rejected"] == ["Say something rude to me"]
    assert shown["near"] == ["Say something rude to him"]
    assert shown["refused"] == ["Draw me a sheep please"]


def test_the_next_page_keeps_the_filter(project, admin, as_user):
    refused = [Written(f"Describe image {number}.", "", "A wren") for number in range(51)]
    store(project=project, origin="run-1", proposed=51, unparsed=Counter(), tasks=refused)
    client = as_user(admin)
    first = client.get(f"{PAGE}?show=refused").content.decode()
    assert 'rel="next" href="?show=refused&amp;page=2"' in first
    second = client.get(f"{PAGE}?show=refused&page=2").content.decode()
    assert "51–51 of 51" in second
    assert 'rel="prev" href="?show=refused&amp;page=1"' in second


def test_a_proposals_page_tells_where_it_came_from_and_what_was_changed(admin, annotator, as_user, reviewed_batch):
    bird, tree = Proposal.objects.order_by("pk")[:2]
    page = as_user(admin).get(f"{PAGE}{bird.pk}/").content.decode()
    assert "small" in page
    assert "0.7" in page
    assert "One &lt;b&gt;more&lt;/b&gt;" in page
    assert "seed:x" in page
    page = as_user(admin).get(f"{PAGE}{tree.pk}/").content.decode()
    assert "Spell <del>the</del><ins>this</ins> word<del> tree</del>." in page
    assert "<del>slowly</del><ins>tree</ins>" in page
    assert f"annotator-{annotator.pk}" not in page
    assert '<span class="soft small">bob' in page


def test_an_empty_project_says_how_to_begin(project, admin, as_user):
    assert "No proposals yet" in as_user(admin).get(PAGE).content.decode()


def test_a_file_of_tasks_goes_through_the_same_rules(project, admin, as_user):
    lines = [
        {"instruction": "Name a fish.", "input": "", "output": "Trout"},
        {"instruction": "Look at the image.", "input": "", "output": "A fish"},
        {"instruction": "Name a tree.", "output": 3},
        {"instruction": "", "output": "x"},
        {"instruction": "Name a flower.", "output": "Rose"},
    ]
    content = "\n".join([*map(json.dumps, lines), "{broken"])

    def upload():
        return as_user(admin).post(PAGE, {"file": SimpleUploadedFile("tasks.jsonl", content.encode())})

    page = upload().content.decode()
    assert "3 rows of the file rejected" in page
    assert "Line 3: output should be text." in page
    assert "Line 4: instruction is missing." in page
    assert "Line 6: " in page
    found = [(p.instruction, p.refused_by) for p in Proposal.objects.order_by("pk")]
    assert found == [("Name a fish.", ""), ("Look at the image.", "beyond_text"), ("Name a flower.", "")]
    assert Task.objects.count() == 2
    assert "already imported" in upload().content.decode()
    assert Proposal.objects.count() == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tasks.csv", b"a,b\n", "The file should be JSONL"),
        ("tasks.jsonl", b" ", "The file is empty"),
        ("tasks.jsonl", b"", "The file is empty"),
    ],
)
def test_a_file_that_is_none(project, admin, as_user, name, content, message):
    response = as_user(admin).post(PAGE, {"file": SimpleUploadedFile(name, content)})
    assert message in response.content.decode()
    assert not ProposalBatch.objects.exists()


def test_the_pool_in_other_peoples_formats(project, admin, as_user, reviewed_batch):
    client = as_user(admin)
    body = {"type": "instruction"}
    taken = client.post(f"{API}/snapshots/", body, content_type="application/json").json()
    assert taken["counts"]["accepted as proposed"] == taken["counts"]["accepted with changes"] == 1

    def rows(name):
        response = client.get(f"{API}/snapshots/{taken['number']}/download/", {"rows": name})
        return [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]

    assert rows("instruction-alpaca") == [
        {"instruction": "Name a bird.", "input": "", "output": "Wren"},
        {"instruction": "Spell this word.", "input": "tree", "output": "t-r-e-e"},
    ]
    assert [(row["prompt"][0]["content"], row["completion"][0]["content"]) for row in rows("instruction-trl")] == [
        ("Name a bird.", "Wren"),
        ("Spell this word.\n\ntree", "t-r-e-e"),
    ]
    assert [(row["author"], row["edited"]) for row in rows("instruction")] == [("small", False), ("small", True)]
    card = client.get(f"{API}/snapshots/{taken['number']}/card/").json()
    assert list(card["people"].values()) == [2]


def test_without_an_accepted_task_there_is_no_snapshot(project, admin, as_user):
    response = as_user(admin).post(f"{API}/snapshots/", {"type": "instruction"}, content_type="application/json")
    assert response.status_code == 409
    assert "No proposed task is accepted yet" in response.json()["detail"]


def test_the_api_gives_proposals_and_the_pool(project, admin, annotator, as_user, reviewed_batch):
    client = as_user(admin)
    found = client.get(f"{API}/proposals/").json()["results"]
    assert [(row["instruction"], row["verdict"]) for row in found][:2] == [
        ("Name a bird.", "accept"),
        ("Spell the word tree.", "edit"),
    ]
    one = client.get(f"{API}/proposals/{found[0]['id']}/").json()
    assert (one["author"], one["sampling"], one["origin"]) == ("small", {"temperature": 0.7}, "run-1")
    rejected = client.get(f"{API}/proposals/", {"verdict": "reject"}).json()["results"]
    assert [row["reason"] for row in rejected] == ["harmful"]
    assert len(client.get(f"{API}/proposals/", {"verdict": "none"}).json()["results"]) == 2
    assert client.get(f"{API}/proposals/", {"verdict": "maybe"}).status_code == 400
    pooled = client.get(f"{API}/pool/").json()["results"]
    assert [(row["instruction"], row["input"], row["edited"], row["annotator_id"]) for row in pooled] == [
        ("Name a bird.", "", False, annotator.pk),
        ("Spell this word.", "tree", True, annotator.pk),
    ]


def test_instruction_tuning_learns_from_accepted_tasks_alone(project, reviewed_batch):
    config = InstructionTuningConfig(per_task=0, seed_tasks=False)
    learnt = [row for row in rows_for(project, config) if row["split"] == "train"]
    assert [(row["instruction"], row["input"], row["output"], row["source"]) for row in learnt] == [
        ("Name a bird.", "", "Wren", "pool"),
        ("Spell this word.", "tree", "t-r-e-e", "pool"),
    ]
    without = InstructionTuningConfig(per_task=0, seed_tasks=False, pool=False)
    assert [row for row in rows_for(project, without) if row["split"] == "train"] == []


def test_a_dry_run_says_what_examples_there_are(project, policy, admin, as_user, reviewed_batch):
    body = {"methods": ["self_instruct"]}
    (stage,) = as_user(admin).post(f"{API}/rounds/dry-run/", body, content_type="application/json").json()["stages"]
    assert stage["counts"] == {"seed tasks": len(seed_tasks()), "accepted proposals": 2}


@pytest.mark.django_db(transaction=True)
def test_nothing_is_locked_while_tasks_are_held_against_each_other_and_what_comes_between_counts(project, monkeypatch):
    held_against = proposals._judge
    calls = []

    def judge(project, tasks, *more):
        calls.append(connection.in_atomic_block)
        judged = held_against(project, tasks, *more)
        if len(calls) == 1:  # somebody else's file, with the same task
            monkeypatch.setattr(proposals, "_judge", held_against)
            take("other")
            monkeypatch.setattr(proposals, "_judge", judge)
        return judged

    def take(origin):
        task = Written("Name an animal that can fly.", "", "Bat")
        return store(project=project, origin=origin, proposed=1, unparsed=Counter(), tasks=[task])

    monkeypatch.setattr(proposals, "_judge", judge)
    assert take("file").duplicates == 1
    assert calls == [False, False]
    assert Proposal.objects.count() == 1


def test_a_file_of_too_many_tasks_is_refused_in_words(project, admin, as_user):
    line = '{"instruction": "Name %d birds.", "input": "", "output": "Wren"}'
    content = "\n".join(line % number for number in range(1001)).encode()
    page = as_user(admin).post("/projects/letters/proposals/", {"file": SimpleUploadedFile("a.jsonl", content)})
    assert "more than 1,000 tasks" in page.content.decode()
    assert not Proposal.objects.exists()
