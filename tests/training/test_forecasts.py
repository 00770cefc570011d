"""Building a round: presets, one like an earlier one, and what a dry run says before anything starts."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command
from django.utils import timezone

from annotation.models import DatasetSnapshot, Project
from training.memory import GIB
from training.methods import METHODS
from training.models import RunStatus, TrainingRound, TrainingRun
from training.reports import forecasts

pytestmark = pytest.mark.django_db
PAGE = "/projects/letters/rounds/new/"
API = "/api/v1/projects/letters/rounds/dry-run/"


@pytest.fixture
def ready(project, policy, ranked_task):
    return project


@pytest.fixture
def finished(ready, admin):
    """Round 1: a reward model from 3 ranked tasks in 30 s, PPO of 128 episodes in 50 s."""

    def make(project=ready, **ppo):
        now = timezone.now()
        number = project.rounds.count() + 1
        round = TrainingRound.objects.create(
            project=project, number=number, status=RunStatus.SUCCEEDED, finished_at=now
        )
        snapshot = DatasetSnapshot.objects.create(
            project=project, number=number, type="ranking", sha256="0" * 64, rows=3, counts={}, cutoff=now
        )
        common = {"round": round, "status": RunStatus.SUCCEEDED, "finished_at": now}
        TrainingRun.objects.create(
            **common,
            position=0,
            method="reward",
            config=METHODS["reward"].config().as_json(),
            snapshot=snapshot,
            result={"seconds": 30.0, "peak_rss_mb": 900.0},
        )
        TrainingRun.objects.create(
            **common,
            position=1,
            method="ppo",
            config=METHODS["ppo"].config(**{"episodes": 128, **ppo}).as_json(),
            result={"seconds": 50.0, "peak_rss_mb": 1200.0},
        )
        return round

    return make


def dry_run(client, **body):
    answer = client.post(API, body, content_type="application/json")
    assert answer.status_code == 200, answer.json()
    return answer.json()


def test_time_and_memory_are_scaled_from_runs_that_finished_here(finished, admin, as_user):
    finished()
    found = dry_run(as_user(admin), methods=["reward", "ppo"], settings={"ppo": {"episodes": 640}})
    reward, ppo = found["stages"]
    assert (reward["rows"], reward["seconds"]) == (1, 10)  # one ranked task where three took 30 s
    assert (ppo["seconds"], ppo["memory_mb"], ppo["compared"]) == (250, 1200, 1)  # five times the episodes
    assert (found["seconds"], found["memory_mb"]) == (260, 1200)
    assert TrainingRound.objects.count() == 1


def test_twice_the_passes_do_not_take_twice_the_time(finished, admin, as_user):
    finished()
    (ppo,) = dry_run(as_user(admin), methods=["ppo"], settings={"ppo": {"episodes": 128, "ppo_epochs": 9}})["stages"]
    assert ppo["seconds"] == 100  # drawing counts as one pass: 1 + 9 where there were 1 + 4


def test_what_never_ran_here_or_with_another_model_is_not_guessed(finished, ready, admin, as_user):
    (ppo,) = dry_run(as_user(admin), methods=["ppo"])["stages"]
    assert (ppo["seconds"], ppo["memory_mb"], ppo["compared"]) == (None, None, 0)
    finished(Project.objects.create(slug="other", name="Other", base_model="another/model"))
    found = dry_run(as_user(admin), methods=["ppo"])
    assert (found["stages"][0]["seconds"], found["seconds"]) == (None, None)


def test_it_tells_what_differs_from_the_defaults_and_from_the_last_round(finished, admin, as_user):
    finished(kl_coef=0.05)
    (ppo,) = dry_run(as_user(admin), methods=["ppo"], settings={"ppo": {"episodes": 128, "gamma": 0.9}})["stages"]
    assert ppo["from_defaults"] == [
        {"setting": "episodes", "before": 640, "now": 128},
        {"setting": "gamma", "before": 1.0, "now": 0.9},
    ]
    assert ppo["from_round"] == 1
    assert ppo["since"] == [
        {"setting": "kl_coef", "before": 0.05, "now": 0.03},
        {"setting": "gamma", "before": 1.0, "now": 0.9},
    ]


def test_a_round_that_would_be_refused_says_so_and_why_there_is_no_data(project, policy, make_prompt, admin, as_user):
    prompt = make_prompt()
    found = dry_run(as_user(admin), methods=["reward", "ppo"])
    assert "There are no rankings yet" in found["refusal"]
    reward, ppo = found["stages"]
    assert "No ranking prefers one response" in reward["problem"]
    assert (ppo["rows"], ppo["unit"], ppo["counts"]) == (1, "prompts", {f"{prompt.split} prompts": 1})


def test_the_page_shows_the_dry_run_and_keeps_what_was_filled_in(finished, admin, as_user):
    finished()
    page = as_user(admin).post(
        PAGE, {"plan": "reward,ppo,sample", "preset": "quick", "ppo.kl_coef": "0.1", "dry_run": "1"}
    )
    text = page.content.decode()
    assert page.status_code == 200
    assert "Dry run: nothing has started" in text
    assert "KL coefficient: 0.03 → 0.1" in text
    assert "Episodes: 640 → 128" in text
    assert "not known yet" in text  # sampling never ran here
    assert 'value="0.1"' in text
    assert TrainingRound.objects.count() == 1


def test_a_setting_that_makes_no_sense_is_refused_in_a_dry_run_too(ready, admin, as_user):
    page = as_user(admin).post(PAGE, {"plan": "reward,ppo,sample", "ppo.batch_size": "60", "dry_run": "1"})
    assert "should divide batch_size (60), not 32" in str(page.context["form"].errors["ppo.minibatch_size"])
    assert page.context["forecast"] is None


def test_a_preset_gives_way_to_what_is_filled_in(ready, admin, as_user):
    as_user(admin).post(PAGE, {"plan": "reward,ppo,sample", "preset": "thorough", "ppo.episodes": "64", "despite": "1"})
    reward, ppo, sample = TrainingRound.objects.get().runs.all()
    assert (ppo.config["episodes"], ppo.config["eval_completions"]) == (64, 8)
    assert (reward.config["heads"], sample.config) == (4, METHODS["sample"].config().as_json())


def test_one_like_an_earlier_round_begins_with_its_settings(finished, admin, as_user):
    finished(kl_coef=0.05, whiten_rewards=True)
    form = as_user(admin).get(f"{PAGE}?like=1").context["form"]
    assert form["ppo.episodes"].value() == 128
    assert form["ppo.kl_coef"].value() == 0.05
    assert form["ppo.whiten_rewards"].value() == "true"
    assert form["ppo.gamma"].value() is None
    assert as_user(admin).get(f"{PAGE}?like=99").status_code == 200
    assert as_user(admin).get(f"{PAGE}?like=x").status_code == 200


def test_only_admins_ask_for_a_dry_run(ready, annotator, stranger, as_user):
    assert as_user(annotator).post(API, {}, content_type="application/json").status_code == 403
    assert as_user(stranger).post(API, {}, content_type="application/json").status_code == 404


def test_the_command_says_it_in_lines(finished):
    finished()
    out = io.StringIO()
    call_command(
        "start_round",
        project="letters",
        methods=["ppo"],
        preset="quick",
        set=["ppo.episodes=64"],
        dry_run=True,
        stdout=out,
    )
    assert out.getvalue().splitlines()[0] == "PPO: 1 prompts; about 25 s, 1,200 MB"
    assert "  episodes: 640 -> 64" in out.getvalue()
    assert TrainingRound.objects.count() == 1


@pytest.fixture
def large_base(ready, tmp_path):
    """Version 0 has the shape of a model of 7 billion weights, of which only config.json is there."""
    sizes = {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
    more = {"intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False}
    (tmp_path / "config.json").write_text(json.dumps(sizes | more))
    ready.policies.filter(number=0).update(checkpoint=str(tmp_path))
    return ready


def test_a_dry_run_tells_what_memory_the_models_shape_asks_for(large_base, admin, as_user, monkeypatch):
    monkeypatch.setattr(forecasts, "machine", lambda environment: {"device": "cpu", "state_bytes": 4})
    monkeypatch.setattr(forecasts, "free_memory", lambda: 16 * GIB)
    wanted = {"methods": ["reward", "ppo"], "settings": {"ppo": {"micro_batch": 4}}}
    _, ppo = dry_run(as_user(admin), **wanted)["stages"]
    assert 32_000 < ppo["most_memory_mb"] < 60_000  # 28.4 GiB of weights in float32, cache and activations
    assert ppo["does_not_fit"] == (
        "weights and optimiser alone take 28.5 GiB, and 16.0 GiB of memory are free; "
        "with PREFLOOP_PRECISION=bfloat16 they take 14.3 GiB"
    )
    page = as_user(admin).post(PAGE, {"plan": "reward,ppo,sample", "dry_run": "1"}).content.decode()
    assert "Does not fit on this machine: weights and optimiser alone take" in page
    monkeypatch.setattr(forecasts, "free_memory", lambda: 64 * GIB)
    assert dry_run(as_user(admin), **wanted)["stages"][1]["does_not_fit"] == ""


def test_the_machine_is_asked_for_its_device_and_format():
    assert forecasts.machine({"PREFLOOP_PRECISION": "bfloat16"})["state_bytes"] == 2
    assert forecasts.machine({"PREFLOOP_PRECISION": "float32"})["state_bytes"] == 4
    assert forecasts.machine({"PREFLOOP_PRECISION": "4bit"})["four_bit"]
    assert 1024**2 < forecasts.free_memory() < 1 << 50
