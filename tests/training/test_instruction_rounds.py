"""Instruction tuning as people meet it: what a round trains on, what its page says, and the page of tokens."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from django.utils import timezone

from annotation.models import ImportedLabel
from tests.tiny_model import tiny_tokenizer
from training.actions.rounds import start_round
from training.instructions.report import compare, in_words
from training.models import RunStatus, TrainingRound, TrainingRun
from training.worker.loop import config_for, rows_for

pytestmark = pytest.mark.django_db
TOKENS = "/projects/letters/rounds/tokens/"


@pytest.fixture
def ready(project, policy, make_prompt, tmp_path):
    """A project whose policy has a tokenizer, and no weights."""
    make_prompt()
    folder = tmp_path / "base"
    tiny_tokenizer().save_pretrained(folder)
    policy.checkpoint = str(folder)
    policy.save()
    return project


def started(project, admin, **settings) -> TrainingRun:
    methods = ["instruction_tuning"]
    return start_round(project=project, methods=methods, by=admin, settings={methods[0]: settings}).runs.get()


# --- data ------------------------------------------------------------------------------------------------------


def test_a_round_trains_on_rule_made_tasks_and_seed_tasks_without_a_single_ranking(ready, admin):
    run = started(ready, admin, per_task=10, test_per_task=4, held_out="topic, lists")
    rows = list(rows_for(run))
    assert Counter(row["source"] for row in rows if row["split"] == "train") == {"rule": 14 * 10, "seed": 85 - 9}
    unseen = [row for row in rows if row["split"] == "unseen_tasks"]
    assert {row["task"] for row in unseen} == {"topic", "category", "odd_one_out", "in_list"}
    assert not {row["cluster"] for row in rows if row["split"] != "unseen_tasks"} & {"topic", "lists"}
    assert rows == list(rows_for(run))  # the same again, whoever asks
    assert run.snapshot is None


def test_a_project_s_labelled_texts_can_join(ready, admin):
    for place in range(6):
        ImportedLabel.objects.create(
            project=ready,
            text=f"Text {place}",
            label=["late", "lost"][place % 2],
            split=["train", "eval"][place // 4],
            digest=str(place),
        )
    run = started(ready, admin, per_task=0, seed_tasks=False, labelled=True, test_per_task=1)
    rows = [row for row in rows_for(run) if row["source"] == "labelled"]
    assert Counter(row["split"] for row in rows) == {"train": 4, "unseen_templates": 2}
    assert all(row["options"] in (["late", "lost"], []) for row in rows)


def test_a_dry_run_counts_the_instructions_and_says_when_labels_are_missing(ready, admin, as_user):
    address = "/api/v1/projects/letters/rounds/dry-run/"
    asked = {"methods": ["instruction_tuning"], "settings": {"instruction_tuning": {"per_task": 10, "held_out": ""}}}
    (stage,) = as_user(admin).post(address, asked, content_type="application/json").json()["stages"]
    assert (stage["unit"], stage["counts"]["train"]) == ("instructions", 18 * 10 + 85)
    asked["settings"]["instruction_tuning"]["labelled"] = True
    (stage,) = as_user(admin).post(address, asked, content_type="application/json").json()["stages"]
    assert "no classes" in stage["problem"]


def test_a_cluster_that_does_not_exist_is_told_beside_its_field(ready, admin, as_user):
    page = as_user(admin).post(
        "/projects/letters/rounds/new/",
        {"plan": "instruction_tuning,sample", "instruction_tuning.held_out": "cookery"},
    )
    assert "names clusters that do not exist: cookery" in page.content.decode()
    assert not TrainingRound.objects.exists()


# --- the page of a round ---------------------------------------------------------------------------------------


def test_the_round_s_page_says_whether_unseen_tasks_got_better_or_worse(ready, admin, as_user):
    run = started(ready, admin)
    answered = [{"split": "unseen_tasks", "cluster": "lists", "before": n < 9, "after": n < 2} for n in range(12)]
    answered += [{"split": "unseen_templates", "cluster": "topic", "before": n < 3, "after": True} for n in range(12)]
    answered = [{**row, "mentioned_before": row["before"], "mentioned_after": row["after"]} for row in answered]
    outcome = compare(answered)
    run.result = {**outcome, "in_words": [in_words(*item) for item in outcome.items()], "instructions": 40, "tasks": 9}
    run.status, run.finished_at = RunStatus.SUCCEEDED, timezone.now()
    run.save()
    run.directory.path.mkdir(parents=True)
    run.directory.log_sample(
        {
            "step": 5,
            "prompt_id": 0,
            "prompt": "Which is the odd one out?",
            "before": "what?",
            "after": "plum",
            "wanted": "axe",
            "score_before": None,
            "score_after": None,
        }
    )
    address = run.round.get_absolute_url()
    page = "".join(as_user(admin).get(f"{address}{tab}").content.decode() for tab in ("", "samples/", "slices/"))
    assert "Unseen tasks got worse, as FLAN saw with models of 8 billion parameters and fewer: 75% right" in page
    assert "Unseen wordings of trained tasks got better: 25% right before, 100% after" in page
    assert '<th scope="row">lists</th><td class="number">75.0%</td>' in page
    assert "Which is the odd one out?" in page
    assert "Correct: axe" in page
    assert "Training instructions</dt><dd>40" in page


# --- tokens ----------------------------------------------------------------------------------------------------


def test_the_page_of_tokens_marks_what_is_learned(ready, admin, as_user):
    page = as_user(admin).get(TOKENS).content.decode()
    assert page.count('<ol class="tokens"') == 5
    end = tiny_tokenizer().eos_token_id
    # Each answer ends with its end, learned; the prompt's own ends are only read.
    assert page.count(f'class="learned" title="id {end}, in the loss"') == 5
    assert f'<li title="id {end}">' in page
    assert "Sentiment" not in page  # held out by default
    assert len(set(re.findall(r"Row \d+, (\w+), ", page))) == 5  # tasks
    following = as_user(admin).get(f"{TOKENS}?at=5").content.decode()
    assert "Row 1, " in page
    assert "Row 6, " in following
    assert "No more rows" in as_user(admin).get(f"{TOKENS}?at=99999").content.decode()
    assert as_user(admin).get(f"{TOKENS}?at=x").status_code == 200


def test_a_round_shows_the_rows_that_it_was_given(ready, admin, as_user):
    run = started(ready, admin, per_task=4, max_length=30)
    address = f"{run.round.get_absolute_url()}tokens/"
    assert "nothing to show yet" in as_user(admin).get(address).content.decode()
    rows = [row for row in rows_for(run) if row["source"] == "seed"]
    run.directory.prepare(config=config_for(run), rows=rows)
    page = as_user(admin).get(address).content.decode()
    assert f"Row 1, {rows[0]['task']}, as written, from seed" in page
    assert "Too long: the run skips and counts it." in page
    assert f'<a href="{address}">' in as_user(admin).get(run.round.get_absolute_url()).content.decode()


def test_answers_that_sft_imitates_are_shown_with_their_source(ready, admin, as_user, ranked_task):
    run = start_round(project=ready, methods=["sft"], by=admin).runs.get()
    row = {
        "prompt": [{"role": "user", "content": "Hello?"}],
        "completion": [{"role": "assistant", "content": "good day"}],
        "prompt_id": 1,
        "split": "train",
        "source": "best_ranked",
        "finished": True,
    }
    run.directory.prepare(config=config_for(run), rows=[row, row | {"split": "eval"}])
    page = as_user(admin).get(f"{run.round.get_absolute_url()}tokens/").content.decode()
    assert page.count('<ol class="tokens"') == 1
    assert "Row 1, best ranked: " in page


def test_a_policy_without_its_files_says_so(ready, admin, as_user):
    ready.policies.update(checkpoint="/models/gone")
    assert "no tokenizer with a chat template" in as_user(admin).get(TOKENS).content.decode()
