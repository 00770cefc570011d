"""Who answers in which share, which prompts are asked, and what of it people get to see."""

from __future__ import annotations

from collections import Counter

import pytest
from django.db import connection

from annotation import blinding
from annotation.models import Completion, PolicyVersion, Source, Task
from training.actions.rounds import start_round
from training.methods import SampleConfig
from training.models import RunStatus, TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.database]

MIXED = """
authors = ["policy", "policy"] + [name for name in ("base", "older") if name in run.config()["inputs"]]
for row in rows:
    for index, author in enumerate(authors):
        run.log_sample({"step": 0, "prompt_id": row["prompt_id"], "index": index, "author": author, "tokens": 3,
                        "text": f"{author} says {index}", "logprob": -4.5, "finished": True})
run.finish({"completions": 4 * len(rows)})
"""
CHOSEN = """
assert run.config()["inputs"]["reward_model"].endswith("checkpoint")
for row in rows:
    for index in range(2):
        run.log_sample({"step": 0, "prompt_id": row["prompt_id"], "index": index, "author": "policy", "tokens": 3,
                        "text": f"answer {index}", "logprob": -4.5, "finished": True})
run.finish({"completions": 4, "pool": len(rows), "chosen": [
    {"prompt_id": rows[0]["prompt_id"], "by": "control", "disagreement": 0.1},
    {"prompt_id": rows[-1]["prompt_id"], "by": "disagreement", "disagreement": 0.4}]})
"""


@pytest.fixture
def versions(project, policy) -> list[PolicyVersion]:
    """The base, v1 and v2, which is in use."""
    made = [policy]
    for number in (1, 2):
        made.append(
            PolicyVersion.objects.create(
                project=project, number=number, parent=made[-1], checkpoint=f"/models/v{number}"
            )
        )
    return made


def test_answers_belong_to_the_version_that_gave_them(project, versions, make_prompt, make_worker):
    make_prompt()
    shares = {"base_share": 0.25, "older_share": 0.25}
    round = start_round(project=project, methods=["sample"], settings={"sample": shares}, by=None)
    make_worker(sample=MIXED).run_until_idle()
    run = round.runs.get()
    assert run.status == RunStatus.SUCCEEDED, run.error
    inputs = run.directory.config()["inputs"]
    assert inputs["versions"] == {"policy": 2, "base": 0, "older": 1}
    assert (inputs["policy"], inputs["base"], inputs["older"]) == ("/models/v2", "/models/base", "/models/v1")
    assert Counter(Completion.objects.values_list("policy__number", flat=True)) == {2: 2, 0: 1, 1: 1}
    assert Task.objects.get(kind="ranking").candidates.count() == 4


def test_answers_are_read_for_names_before_the_transaction_that_stores_them(
    project, versions, make_prompt, make_worker, stranger, monkeypatch
):
    written = make_prompt()
    Completion.objects.create(prompt=written, source=Source.PERSON, author=stranger, text="By hand.")
    names_its_model, outside, read = blinding.names_its_model, len(connection.savepoint_ids), []

    def watched(text, about):
        read.append((text, len(connection.savepoint_ids) > outside))
        return names_its_model(text, about)

    monkeypatch.setattr(blinding, "names_its_model", watched)
    start_round(project=project, methods=["sample"], settings={"sample": {}}, by=None)
    make_worker(sample=MIXED).run_until_idle()
    assert sorted(read) == [("By hand.", False), ("policy says 0", False), ("policy says 1", False)]
    assert Task.objects.get(kind="ranking").candidates.count() == 3


def test_the_run_is_told_how_the_project_asks_its_model(project, versions, make_prompt, make_worker):
    make_prompt()
    project.chat_template_kwargs, project.thoughts = {"enable_thinking": False}, "hidden"
    project.save()
    round = start_round(project=project, methods=["sample"], settings={"sample": {}}, by=None)
    make_worker(sample=MIXED).run_until_idle()
    assert round.runs.get().directory.config()["inputs"]["chat"] == {
        "template_kwargs": {"enable_thinking": False},
        "thoughts": "hidden",
        "long_prompts": "refuse",
    }


def test_where_there_is_no_other_version_the_policy_answers_all(project, policy, make_prompt, make_worker):
    make_prompt()
    shares = {"base_share": 0.25, "older_share": 0.25}
    round = start_round(project=project, methods=["sample"], by=None)
    TrainingRun.objects.filter(round=round).update(
        config=SampleConfig(**shares).as_json()
    )  # of a plan whose DPO failed
    make_worker(sample=MIXED).run_until_idle()
    assert round.runs.get().directory.config()["inputs"]["versions"] == {"policy": 0}
    assert set(Completion.objects.values_list("policy__number", flat=True)) == {0}


def test_people_judge_what_was_chosen_and_why_it_was_is_kept(project, ranked_task, make_prompt, policy, make_worker):
    for _ in range(11):
        make_prompt()
    make_prompt(withdrawn_at="2026-01-01T00:00Z")
    settings = {"sample": {"choose_by": "disagreement", "prompts": 2}}
    round = start_round(project=project, methods=["reward", "sample"], settings=settings, by=None)
    make_worker(sample=CHOSEN).run_until_idle()
    run = round.runs.get(method="sample")
    assert run.status == RunStatus.SUCCEEDED, run.error
    assert len(list(run.directory.rows())) == 8  # four times as many as are chosen; none of them withdrawn
    drawn = Completion.objects.filter(origin=f"run-{run.pk}")
    assert Counter(c.sampling["chosen_by"] for c in drawn) == {"control": 2, "disagreement": 2}
    assert {c.sampling["disagreement"] for c in drawn if c.sampling["chosen_by"] == "disagreement"} == {0.4}
    assert Task.objects.filter(kind="ranking", origin=f"run-{run.pk}").count() == 2


def test_a_choice_by_disagreement_needs_a_reward_model(project, policy, make_prompt, as_user, admin):
    make_prompt()
    chosen = {"plan": "sample", "sample.choose_by": "disagreement", "sample.prompts": "2"}
    page = as_user(admin).post("/projects/letters/rounds/new/", chosen, follow=True).content.decode()
    assert "Sampling needs a reward model that passed its gate" in page
    assert not project.rounds.exists()


def test_people_take_part_in_a_share_of_the_tasks(project, policy, make_prompt, annotator, make_worker):
    prompts = [make_prompt() for _ in range(40)]
    for prompt in prompts:
        Completion.objects.create(prompt=prompt, source=Source.PERSON, author=annotator, text="By a person.")
    start_round(project=project, methods=["sample"], settings={"sample": {"people_share": 0.5}}, by=None)
    make_worker().run_until_idle()
    tasks = Task.objects.filter(kind="ranking")
    assert tasks.count() == 40
    assert 10 <= tasks.filter(candidates__source=Source.PERSON).count() <= 30
