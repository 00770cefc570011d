"""Settings mean what they say: one that would do nothing beside the others is refused, wherever a round is started."""

from __future__ import annotations

import io
import json
from dataclasses import fields
from itertools import product
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from annotation.models import PolicyVersion
from training.actions.prompt_tuning import start_prompt_tuning
from training.methods import METHODS, InvalidConfig
from training.methods.plans import configs_of, plans
from training.methods.presets import PRESETS, with_preset
from training.methods.settings import check_effective, idle_settings
from training.models import RunStatus, TrainingRound, TrainingRun
from training.prompt_tuning.approaches import APPROACHES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "idle-settings.md"
ADAPTER = {"pooling": "mean"}
ONE_STEP = {"batch_size": 32, "minibatch_size": 32}
FULL = {"train": "full"}

# Method, what makes a setting idle, and the setting with a value that is not its default.
IDLE = [
    *(
        ("reward", {}, {name: value})
        for name, value in (
            ("epochs", 5),
            ("learning_rate", 1e-4),
            ("head_learning_rate_factor", 2.0),
            ("rankings_per_step", 8),
            ("lora_rank", 8),
            ("top_blocks", 2),
            ("weight_decay", 0.1),
            ("start", "policy"),
            ("micro_batch", 2),
            ("checkpointing", True),
        )
    ),
    ("reward", {"loss": "plackett_luce"}, {"margin": 1.0}),
    ("reward", ADAPTER | {"loss": "plackett_luce"}, {"margin": 1.0}),
    ("reward", ADAPTER | {"heads": 1}, {"ridge": 1.0}),
    ("reward", ADAPTER, {"micro_batch": 5}),
    ("reward", ADAPTER, {"learning_rate": 0.0}),
    ("ppo", {}, {"kl_horizon": 10.0}),
    ("ppo", {"kl_coef": 0.0}, {"kl_target": 6.0}),
    ("ppo", {}, {"missing_eos_score": -2.0}),
    ("ppo", FULL, {"lora_rank": 8}),
    ("ppo", FULL, {"top_blocks": 2}),
    ("ppo", {"value_coef": 0.0}, {"value_clip_range": 0.1}),
    ("ppo", {"value_coef": 0.0}, {"value_model": "separate"}),
    ("ppo", ONE_STEP | {"ppo_epochs": 1}, {"clip_range": 0.1}),
    ("ppo", ONE_STEP | {"ppo_epochs": 1}, {"value_clip_range": 0.1}),
    ("ppo", ONE_STEP | {"ppo_epochs": 1}, {"clipfrac_limit": 0.1}),
    ("ppo", ONE_STEP | {"ppo_epochs": 1}, {"ratio_limit": 2.0}),
    ("ppo", {"episodes": 128}, {"eval_every": 3}),
    ("ppo", {"episodes": 128}, {"save_every": 3}),
    ("ppo", {}, {"episodes": 650}),
    ("ppo", {}, {"micro_batch": 33}),
    ("ppo", {}, {"sampling_batch": 65}),
    ("rloo", {"minibatch_size": 32}, {"clip_range": 0.1}),
    ("rloo", {}, {"learning_rate": 0.0}),
    ("grpo", {"minibatch_size": 32}, {"clip_range": 0.1}),
    ("rloo", {}, {"episodes": 100}),
    ("rloo", {"episodes": 64}, {"eval_every": 3}),
    ("dpo", {}, {"micro_batch": 17}),
    ("dpo", {}, {"learning_rate": 0.0}),
    ("distil", {}, {"micro_batch": 17}),
    ("distil", {}, {"learning_rate": 0.0}),
    ("kto", {}, {"micro_batch": 17}),
    ("kto", {}, {"learning_rate": 0.0}),
    ("sft", {}, {"micro_batch": 9}),
    ("sft", {}, {"learning_rate": 0.0}),
    ("instruction_tuning", FULL, {"lora_rank": 8}),
    ("instruction_tuning", FULL, {"top_blocks": 2}),
    ("instruction_tuning", {}, {"micro_batch": 17}),
    ("sample", {}, {"control_share": 0.5}),
    ("sample", {}, {"pool": 100}),
    ("sample", {"control_share": 1.0, "prompts": 9}, {"choose_by": "disagreement"}),
    ("sample", {}, {"server_model": "large"}),
    ("self_instruct", {}, {"server_model": "large"}),
    *(
        ("prompt_tuning", {"tuning": tuning}, {name: value})
        for tuning, (name, value) in product(
            ("zero_shot", "in_context"),
            (("epochs", 2), ("batch_size", 4), ("learning_rate", 0.1), ("virtual_tokens", 5)),
        )
    ),
    ("prompt_tuning", {"tuning": "zero_shot"}, {"shots": 4}),
    ("prompt_tuning", {"tuning": "soft_prompt"}, {"lora_rank": 4}),
    ("prompt_tuning", {"tuning": "prefix"}, {"train": "full"}),
    ("prompt_tuning", FULL, {"lora_rank": 4}),
    ("prompt_tuning", {"tuning": "head"}, {"calibration": "prior"}),
    ("prompt_tuning", {}, {"virtual_tokens": 5}),
]
# The same settings where they do something.
AT_WORK = [
    ("reward", ADAPTER, {"epochs": 5, "lora_rank": 8, "start": "policy", "ridge": 1.0, "margin": 1.0}),
    ("reward", {}, {"ridge": 1.0, "margin": 1.0}),
    ("ppo", {"kl_target": 6.0}, {"kl_horizon": 10.0}),
    ("ppo", {"missing_eos": "replace"}, {"missing_eos_score": -2.0}),
    ("ppo", FULL | {"value_model": "separate"}, {"lora_rank": 8}),
    ("ppo", ONE_STEP | {"ppo_epochs": 2}, {"clip_range": 0.1}),
    ("ppo", {"batch_size": 64}, {"clip_range": 0.1, "eval_every": 3, "micro_batch": 32, "learning_rate": 1e-4}),
    ("rloo", {"minibatch_size": 32, "passes": 2}, {"clip_range": 0.1}),
    ("sample", {"choose_by": "disagreement", "prompts": 9}, {"control_share": 0.5, "pool": 100}),
    ("prompt_tuning", {}, {"epochs": 2, "lora_rank": 4, "calibration": "prior"}),
    ("prompt_tuning", {"tuning": "p_tuning"}, {"virtual_tokens": 5, "epochs": 2}),
]


@pytest.mark.parametrize(("method", "beside", "idle"), IDLE, ids=str)
def test_a_setting_that_would_do_nothing_is_named_with_what_to_do(method, beside, idle):
    (name,) = idle
    config = METHODS[method].config(**{**beside, **idle})
    with pytest.raises(InvalidConfig) as refused:
        check_effective(config)
    assert list(refused.value.errors) == [name]
    assert "does nothing" in refused.value.errors[name] or "should be" in refused.value.errors[name]
    assert f"`{name}`" in PAGE.read_text("utf-8")
    assert name not in idle_settings(METHODS[method].config(**beside))  # at its default it asks for nothing


@pytest.mark.parametrize(("method", "beside", "chosen"), AT_WORK, ids=str)
def test_where_they_do_something_they_are_taken(method, beside, chosen):
    check_effective(METHODS[method].config(**beside, **chosen))


def test_every_plan_is_taken_with_every_preset():
    for methods, preset in product(plans(), PRESETS):
        stages = methods.split(",")
        assert len(configs_of(stages, with_preset(preset, stages, {}))) == len(stages)


def test_approaches_that_share_settings_need_only_one_in_which_they_do_something():
    known = {each.name for each in fields(METHODS["prompt_tuning"].config)}
    for approach in APPROACHES.values():
        assert set(approach.settings) <= known
        assert idle_settings(METHODS["prompt_tuning"].config(**approach.settings)) == {}
    zero_shot, cloze = (METHODS["prompt_tuning"].config(tuning=name, epochs=2) for name in ("zero_shot", "cloze"))
    check_effective(zero_shot, cloze)
    with pytest.raises(InvalidConfig, match="epochs"):
        check_effective(zero_shot, zero_shot)
    with pytest.raises(InvalidConfig, match="epochs: does nothing with tuning=zero_shot"):
        start_prompt_tuning(
            project=None, by=None, verbalizer=None, templates=[], settings=[{"tuning": "zero_shot", "epochs": 2}]
        )


def test_disagreement_asks_for_the_heads_that_the_round_trains():
    asked = {"ppo": {"disagreement_coef": 1.0}}
    with pytest.raises(InvalidConfig) as refused:
        configs_of(["reward", "ppo"], asked)
    assert refused.value.errors["ppo.disagreement_coef"].startswith(
        "does nothing with a reward model of fewer than 3 heads, and reward.heads is 2"
    )
    configs_of(["reward", "ppo"], asked | {"reward": {"heads": 3}})
    configs_of(["ppo"], asked)  # what there is already is asked for when the round starts
    chosen = {"sample": {"choose_by": "disagreement", "prompts": 9}}
    configs_of(["reward", "sample"], chosen)
    with pytest.raises(InvalidConfig, match=r"sample\.choose_by"):
        configs_of(["reward", "sample"], chosen | {"reward": {"heads": 1}})


# --- by page, API and command ------------------------------------------------------------------------------------


@pytest.fixture
def ready(project, ranked_task, tmp_path):
    PolicyVersion.objects.filter(project=project).update(checkpoint=str(tmp_path / "base"))
    return project


@pytest.fixture
def reward_model_of(ready):
    def make(heads: int) -> None:
        now, number = timezone.now(), ready.rounds.count() + 1
        made = TrainingRound.objects.create(project=ready, number=number, status=RunStatus.SUCCEEDED, finished_at=now)
        TrainingRun.objects.create(
            round=made,
            position=0,
            method="reward",
            status=RunStatus.SUCCEEDED,
            finished_at=now,
            config=METHODS["reward"].config(heads=heads).as_json(),
            result={"gate": {"passed": True}},
        )

    return make


def said(client, path="", **body) -> str:
    answer = client.post(f"/api/v1/projects/letters/rounds/{path}", body, content_type="application/json")
    assert answer.status_code in (200, 400, 409), answer.content
    return json.dumps(answer.json())


@pytest.mark.django_db
@pytest.mark.database
def test_page_dry_run_api_and_command_refuse_alike(ready, admin, as_user):
    why = "does nothing while kl_target is 0"
    client = as_user(admin)
    for press in ({}, {"dry_run": "1"}):
        page = client.post(
            "/projects/letters/rounds/new/", {"plan": "reward,ppo,sample", "ppo.kl_horizon": "9"} | press
        )
        assert why in str(page.context["form"].errors["ppo.kl_horizon"])
    body = {"methods": ["reward", "ppo"], "settings": {"ppo": {"kl_horizon": 9}}}
    assert why in said(client, **body)
    assert why in said(client, "dry-run/", **body)
    with pytest.raises(CommandError, match=f"ppo.kl_horizon: {why}"):
        call_command(
            "start_round", project="letters", methods=["reward", "ppo"], set=["ppo.kl_horizon=9"], stdout=io.StringIO()
        )
    assert not TrainingRound.objects.exists()


@pytest.mark.django_db
@pytest.mark.database
def test_disagreement_with_a_reward_model_that_is_there(ready, reward_model_of, admin, as_user):
    body = {"methods": ["ppo"], "settings": {"ppo": {"disagreement_coef": 1.0}}}
    reward_model_of(2)
    why = "ppo.disagreement_coef does nothing with a reward model of fewer than 3 heads, and that of round 1 has 2"
    assert why in said(as_user(admin), "dry-run/", **body)
    assert why in said(as_user(admin), **body)
    reward_model_of(3)
    assert json.loads(said(as_user(admin), "dry-run/", **body))["refusal"] == ""


@pytest.mark.django_db
@pytest.mark.database
def test_versions_that_are_not_there_answer_nothing(ready, policy, admin, as_user):
    def refusal(**sample) -> str:
        return json.loads(said(as_user(admin), "dry-run/", methods=["sample"], settings={"sample": sample}))["refusal"]

    alone = "sample.base_share: version 0 is active, so all responses are its own. Leave it out."
    assert refusal(base_share=0.5) == alone
    assert "no version between version 0 and the active one, v0" in refusal(older_share=0.5)
    PolicyVersion.objects.create(project=ready, number=1, checkpoint="/models/v1", parent=policy)
    assert refusal(base_share=0.5) == ""
    assert "no version between version 0 and the active one, v1" in refusal(older_share=0.5)
    PolicyVersion.objects.create(project=ready, number=2, checkpoint="/models/v2", parent=policy)
    assert refusal(older_share=0.5) == ""


@pytest.mark.django_db
@pytest.mark.database
def test_an_adapter_grows_between_rounds_and_never_shrinks(ready, policy, admin, as_user, tmp_path):
    def refusal(methods=("dpo",), **settings) -> str:
        body = {"methods": list(methods), "settings": {methods[-1]: settings}}
        return json.loads(said(as_user(admin), "dry-run/", **body))["refusal"]

    folder = tmp_path / "v1"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": 32, "layers_to_transform": list(range(8))}))
    PolicyVersion.objects.create(project=ready, number=1, checkpoint=str(folder), parent=policy)
    assert refusal() == ""  # the defaults of 16 and 6 keep what there is
    assert refusal(lora_rank=64, top_blocks=9) == ""
    assert refusal(lora_rank=8).startswith("dpo.lora_rank: the adapter of the active version has 32, and an adapter")
    assert refusal(top_blocks=7).startswith("dpo.top_blocks: the adapter of the active version has 8")


@pytest.mark.django_db
@pytest.mark.database
def test_a_reward_model_starts_from_what_is_there(ready, reward_model_of, admin, as_user):
    def refusal(start: str) -> str:
        body = {"methods": ["reward"], "settings": {"reward": {"pooling": "mean", "start": start}}}
        return json.loads(said(as_user(admin), "dry-run/", **body))["refusal"]

    assert "there is no earlier reward model" in refusal("previous")
    assert "has no adapter to start from" in refusal("policy")
    reward_model_of(2)
    assert refusal("previous") == ""
