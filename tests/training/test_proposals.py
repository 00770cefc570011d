"""From a run's samples to proposals, the queue, the pool and the next run's examples."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest

from annotation.actions import judgments, seats
from annotation.exports.pool import pool
from annotation.models import Proposal, ProposalBatch, Task, Withdrawal
from training.actions.proposals import Written, store
from training.actions.rounds import start_round
from training.instructions.pool import examples
from training.instructions.seeds import seed_tasks
from training.models import RunStatus

pytestmark = pytest.mark.django_db(transaction=True)

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
    seat = seats.claim_next(project=project, by=person)
    answer = {"reason": "", "instruction": "", "input": "", "output": "", **said}
    judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=10)
    return seat.task.proposal


def test_only_what_people_accepted_is_in_the_pool_and_an_edit_counts_as_edited(project, annotator):
    tasks = [Written("Name a bird.", "", "Wren"), Written("Spell the word tree.", "", "t-r-e-e"),
             Written("Say something rude to me", "", "No")]  # fmt: skip
    store(project=project, origin="run-1", proposed=3, unparsed=Counter(), tasks=tasks)
    assert list(pool(project)) == []
    said = [{"verdict": "accept"}, {"verdict": "edit", "instruction": "Name two trees.", "output": "A, B"},
            {"verdict": "reject", "reason": "harmful"}]  # fmt: skip
    accepted, edited, rejected = (review(project, annotator, **one) for one in said)

    items = {item.proposal.pk: (item.instruction, item.output, item.edited) for item in pool(project)}
    assert items == {
        accepted.pk: (accepted.instruction, accepted.output, False),
        edited.pk: ("Name two trees.", "A, B", True),
    }
    own = [row for row in examples(project) if row["id"].startswith("proposal:")]
    assert {row["id"]: row["instruction"] for row in own} == {
        f"proposal:{accepted.pk}": accepted.instruction, f"proposal:{edited.pk}": "Name two trees.",
    }  # fmt: skip
    # What repeats an edited instruction is a near-duplicate, and so is what repeats one that was rejected.
    again = [Written("Name two plants.", "", "C"), Written(f"{rejected.instruction} now", "", "C")]
    store(project=project, origin="run-2", proposed=2, unparsed=Counter(), tasks=again, threshold=0.65)
    assert [p.near_duplicate for p in Proposal.objects.filter(batch__origin="run-2")] == [True, True]

    Withdrawal.objects.create(project=project, person=annotator)
    assert list(pool(project)) == []
