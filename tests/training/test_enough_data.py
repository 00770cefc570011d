"""How many annotations are still needed before a quality gate can pass; checked against what a snapshot counts."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from annotation.actions import quality
from annotation.exports import EXPORTS, SnapshotContext
from annotation.models import ImportedJudgment, Project, Prompt, Split
from annotation.quality.held_out import held_out
from training.reports.enough_data import enough_data, pairs_of_settings

pytestmark = pytest.mark.django_db
ROUNDS = "/projects/letters/rounds/new/"


@pytest.fixture
def ranked(ranked_task):
    """Rank a task; the one that the fixture has ranked already is of a prompt that is trained on."""
    Prompt.objects.update(split=Split.TRAIN)
    return ranked_task


@pytest.fixture
def eval_prompts(make_prompt):
    def make(count: int, split: Split = Split.EVAL) -> list:
        return [make_prompt(split=split) for _ in range(count)]

    return make


def test_it_counts_the_pairs_that_a_snapshot_has(project, admin, ranked, eval_prompts):
    first, second, third = eval_prompts(3)
    ranked(("a", "b", "c"), prompt=first)
    ranked(("d", "e", "f"), prompt=second)
    ranked(("g", "h"), prompt=third)
    excluded = third.tasks.get().assignments.get().annotator
    quality.exclude(project=project, annotator=excluded, reason="too fast", by=admin)
    answers = [each.pk for each in first.completions.all()[:2]]
    ImportedJudgment.objects.create(
        prompt=first, tiers=[[answers[0]], [answers[1]]], group=ImportedJudgment.group_of(answers), digest="1"
    )
    context = SnapshotContext(project, timezone.now())
    rows = list(EXPORTS["ranking"](context))
    found = held_out(project)
    assert found.pairs == context.counts["eval pairs"] == 3 + 3 + 1
    assert found.prompts == len({row["prompt_id"] for row in rows if row["split"] == "eval"}) == 2


def test_an_empty_project_is_told_what_it_lacks(project):
    found = enough_data(project)
    assert (found.pairs, found.prompts, found.is_enough, found.percent) == (0, 0, False, 0)
    assert found.sentence.endswith("No prompt is held out yet: import prompts; about 20% of them are held out.")


def test_the_estimate_follows_from_pairs_prompts_and_the_open_tasks(project, open_ranking_task, eval_prompts):
    """Four responses give six pairs: twenty need four rankings, five prompts need five; a quarter is held out."""
    for prompt in [*eval_prompts(10), *eval_prompts(30, Split.TRAIN)]:
        open_ranking_task(prompt=prompt)
    found = enough_data(project)
    assert (found.annotations, found.problem) == (20, "")  # five held-out ones, of which every fourth is one
    assert found.sentence == (
        "The quality gate needs 20 preference pairs on 5 held-out prompts and has 0 on 0: about 20 more annotations "
        "needed."
    )


def test_with_real_rankings_their_own_pairs_count(project, ranked, open_ranking_task, eval_prompts):
    for prompt in eval_prompts(5):
        ranked(("a", "b"), prompt=prompt)  # one pair each, whatever the settings say
    for prompt in eval_prompts(20):
        open_ranking_task(("a", "b"), prompt=prompt)
    found = enough_data(project)
    assert (found.pairs, found.prompts, found.annotations, found.percent) == (5, 5, 15, 25)


def test_too_few_open_tasks_are_named(project, open_ranking_task, eval_prompts):
    for prompt in eval_prompts(6)[:2]:
        open_ranking_task(prompt=prompt)
    assert "Only 2 open tasks are held out: generate more responses." in enough_data(project).sentence


def test_enough_is_enough(project, ranked, eval_prompts):
    for prompt in eval_prompts(7):
        ranked(("a", "b", "c"), prompt=prompt)
    found = enough_data(project)
    assert (found.pairs, found.is_enough, found.percent, found.annotations) == (21, True, 100, 0)


@pytest.mark.parametrize(
    ("values", "pairs"),
    [
        ({"candidates_per_task": 4, "ranking_form": "full"}, 6),
        ({"candidates_per_task": 4, "ranking_form": "best"}, 3),
        ({"candidates_per_task": 5, "ranking_form": "top_k", "top_k": 2}, 7),
        ({"candidates_per_task": 2, "ranking_form": "graded"}, 1),
    ],
)
def test_pairs_of_one_ranking_by_the_settings(values, pairs):
    assert pairs_of_settings(Project(**values)) == pairs


def test_a_round_that_cannot_pass_warns_before_it_starts(project, policy, admin, as_user, ranked):
    alice = as_user(admin)
    plan = {"plan": "reward,ppo,sample"}
    page = alice.post(ROUNDS, plan).content.decode()
    assert "This round would stop at its quality gate for lack of data." in page
    assert "Start anyway" in page
    assert not project.rounds.exists()
    told = alice.post("/api/v1/projects/letters/rounds/dry-run/", {}, content_type="application/json").json()
    assert "needs 20 preference pairs" in told["warning"]
    assert alice.post(ROUNDS, {**plan, "despite": "1"}).status_code == 302
    assert project.rounds.count() == 1


@pytest.mark.parametrize("plan", [{"plan": "sample"}, {"plan": "reward", "reward.gate": "report"}])
def test_a_round_that_does_not_stop_for_it_starts_at_once(project, policy, admin, as_user, ranked, plan):
    assert as_user(admin).post(ROUNDS, plan).status_code == 302


def test_what_cannot_start_says_so_and_does_not_warn(project, policy, admin, as_user, make_prompt):
    make_prompt()
    page = as_user(admin).post(ROUNDS, {"plan": "reward"}).content.decode()
    assert "There are no rankings yet" in page
    assert "Start anyway" not in page


# --- the checklist ---------------------------------------------------------------------------------------------------


def steps_of(client) -> dict[str, str]:
    page = client.get("/projects/letters/").content.decode()
    found = re.findall(r'<li class="step ([^"]*)".*?<h3>(.*?)<span', page, re.DOTALL)
    return {title: state for state, title in found}


def test_the_checklist_leads_to_the_first_policy(project, admin, as_user, make_prompt, open_ranking_task, ranked):
    alice = as_user(admin)
    Project.objects.filter(pk=project.pk).update(closed_at=timezone.now())
    assert steps_of(alice) == {}
    Project.objects.filter(pk=project.pk).update(closed_at=None)
    states = steps_of(alice)
    assert states["Import prompts"] == "done"
    assert states["Prepare the base model"] == "done"
    assert states["Generate responses"] == "done"
    assert states["Annotate"] == "later"  # nothing is open
    for _ in range(7):
        ranked(("a", "b", "c"), prompt=make_prompt(split=Split.EVAL))
    states = steps_of(alice)
    assert (states["Annotate"], states["Train the first policy"]) == ("done", "to-do is-next")
    project.policies.create(number=1, checkpoint="/models/1", parent=project.policies.get(number=0))
    assert steps_of(alice) == {}


def test_one_click_generates_responses_for_every_prompt(project, policy, admin, annotator, as_user, make_prompt):
    make_prompt()
    Project.objects.filter(pk=project.pk).update(candidates_per_task=2, ranking_form="graded")
    alice = as_user(admin)
    assert steps_of(alice)["Generate responses"] == "to-do is-next"
    assert "generates responses" in alice.post("/projects/letters/rounds/generate/", follow=True).content.decode()
    run = project.rounds.get().runs.get()
    assert (run.method, run.config["completions_per_prompt"]) == ("sample", 2)
    assert steps_of(alice)["Generate responses"] == "doing"
    assert "A round is active" in alice.post("/projects/letters/rounds/generate/", follow=True).content.decode()
