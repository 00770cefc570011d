"""A round that is repeated with another tool: what the folder holds, and that its scripts run."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from annotation.models import Split
from tests.forked import command
from tests.tiny_model import tiny_checkpoint
from training.actions.rounds import start_round
from training.exports import openrlhf
from training.exports.stages import ExportedStage
from training.models import TrainingRun

pytestmark = pytest.mark.django_db

CIRCLE = {
    "reward": {"pooling": "mean", "rankings_per_step": 2, "epochs": 1},
    "ppo": {"episodes": 64, "kl_target": 4.0},
    "sample": {"completions_per_prompt": 2},
}
RECORDS = """\
#!/usr/bin/env bash
printf '%s\\n' "$(basename "$0") $*" >> "$CALLS"
"""


@pytest.fixture
def circle(project, policy, make_prompt, ranked_task, make_worker):
    """A finished round of reward model, PPO and sampling; of five rankings, three are on prompts to train on."""
    for number, split in enumerate((Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.EVAL)):
        ranked_task((f"Best {number}.", "Middling.", "Worst."), prompt=make_prompt(f"Day {number}.", split=split))
    round = start_round(project=project, methods=list(CIRCLE), settings=CIRCLE, by=None)
    make_worker().run_until_idle()
    return round


def written(folder: Path, *more: str) -> Path:
    call_command("export_round", "letters", "1", "--out", str(folder), *more)
    return folder


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_folder_holds_the_rows_that_the_round_learned_from(circle, tmp_path):
    folder = written(tmp_path / "out", "--to", "trl")
    pairs = rows(folder / "data/1-reward-train.jsonl")
    assert len(pairs) == 3 * 3  # of three answers in order
    assert {pair["chosen"][0]["content"] for pair in pairs if pair["rejected"][0]["content"] == "Middling."} == {
        "Best 0.",
        "Best 1.",
        "Best 2.",
    }
    assert len(rows(folder / "data/1-reward-eval.jsonl")) == 2 * 3
    assert [row["prompt"][0]["content"] for row in rows(folder / "data/2-ppo-train.jsonl")] == [
        "Day 0.",
        "Day 1.",
        "Day 2.",
    ]
    described = json.loads((folder / "round.json").read_text())
    assert [stage["trainer"] for stage in described["stages"]] == ["reward", "rloo", "sample"]
    assert described["stages"][0]["arguments"]["per_device_train_batch_size"] == 2 * 3
    readme = (folder / "README.md").read_text()
    for part in ("RLOO stands in for it", "| 1-reward | 9 | 6 | snapshot 1, SHA-256", "`out/<stage>/model`"):
        assert part in readme, part


def test_what_cannot_be_exported_is_said(circle, project, tmp_path):
    folder = written(tmp_path / "out", "--to", "trl")
    with pytest.raises(CommandError, match="is not empty"):
        written(folder, "--to", "trl")
    with pytest.raises(CommandError, match=r"There is no round 7 in Letters\. Rounds: 1\."):
        call_command("export_round", "letters", "7", "--to", "trl", "--out", str(tmp_path / "other"))


def test_a_round_that_only_sampled_has_nothing_for_openrlhf(project, policy, make_prompt, as_user, admin, tmp_path):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    with pytest.raises(CommandError, match="OpenRLHF has no program that only samples"):
        written(tmp_path / "out", "--to", "openrlhf")
    page = as_user(admin).get("/projects/letters/rounds/1/export/openrlhf/", follow=True).content.decode()
    assert "OpenRLHF has no program that only samples" in page


def test_an_admin_downloads_it_as_a_zip(circle, as_user, admin, annotator, stranger):
    address = "/projects/letters/rounds/1/export/openrlhf/"
    assert address in as_user(admin).get("/projects/letters/rounds/1/").content.decode()
    sent = b"".join(as_user(admin).get(address).streaming_content)
    with zipfile.ZipFile(io.BytesIO(sent)) as archive:
        assert archive.testzip() is None
        assert "letters-round-1-openrlhf/run.sh" in archive.namelist()
        assert len(archive.read("letters-round-1-openrlhf/data/1-reward-train.jsonl").splitlines()) == 9
    assert as_user(annotator).get(address).status_code == 403
    assert as_user(stranger).get(address).status_code == 404
    assert as_user(admin).get("/projects/letters/rounds/1/export/axolotl/").status_code == 404


def test_the_openrlhf_script_hands_each_stage_what_the_one_before_made(circle, tmp_path):
    """Its programs need GPUs; in their place stand some that write down how they were called."""
    circle.project.base_model = "/models/of this machine"
    circle.project.save()
    folder = written(tmp_path / "out", "--to", "openrlhf")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("deepspeed", "python3"):
        (programs / name).write_text(RECORDS)
        (programs / name).chmod(0o755)
    calls = tmp_path / "calls"
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(calls), "MODEL": "/models/my model"}
    subprocess.run([str(folder / "run.sh")], env=env, check=True, cwd=tmp_path)
    reward, ppo = calls.read_text().splitlines()
    assert reward.startswith(
        "deepspeed --num_gpus 1 --module openrlhf.cli.train_rm --model.model_name_or_path /models/my"
    )
    assert "--train.batch_size 6 " in reward
    assert "--eval.dataset data/1-reward-eval.jsonl" in reward
    assert "openrlhf.cli.train_ppo_ray --reward.model_name_or_path out/1-reward " in ppo
    # 64 episodes of three prompts with four answers each: six times all of them, where a batch would take sixteen.
    for part in (
        "--data.max_samples 3 ",
        "--rollout.batch_size 3 ",
        "--rollout.n_samples_per_prompt 4 ",
        "--train.batch_size 32 ",
        "--train.num_episodes 6 ",
        "--algo.kl.target 4.0 ",
        "--algo.kl.horizon 320 ",
    ):
        assert part in ppo, part
    calls.unlink()
    subprocess.run([str(folder / "run.sh")], env=env | {"REWARD_URL": "http://localhost:5000/get_reward"}, check=True)
    assert "--reward.remote_url http://localhost:5000/get_reward " in calls.read_text()
    without = {name: value for name, value in env.items() if name != "MODEL"}
    refused = subprocess.run([str(folder / "run.sh")], env=without, capture_output=True, text=True)
    assert (refused.returncode, "names no model" in refused.stderr) == (1, True)


@pytest.mark.recipes
def test_trl_repeats_the_round(circle, tmp_path):
    """With TRL as it is installed, on a tiny model, two steps of each stage."""
    folder = written(tmp_path / "out", "--to", "trl")
    base = tiny_checkpoint(tmp_path / "base")
    done = subprocess.run(
        [sys.executable, "train.py", "--try", "--model", str(base)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for stage in ("1-reward", "2-ppo"):
        assert (folder / "out" / stage / "model" / "model.safetensors").exists()
    answers = rows(folder / "out/3-sample/samples.jsonl")
    assert len(answers) == 5 * 2
    assert "1-reward: {'eval_loss'" in done.stdout


@pytest.mark.recipes
def test_trl_goes_on_from_an_adapter_with_all_its_other_trainers(
    project, policy, ranked_task, make_prompt, make_worker, tmp_path
):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = tiny_checkpoint(tmp_path / "base")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=2, target_modules=["q_proj"]))
    model.save_pretrained(tmp_path / "adapter")
    policy.checkpoint = str(tmp_path / "adapter")
    policy.save()
    for number in range(3):
        ranked_task(prompt=make_prompt(f"Day {number}.", split=Split.TRAIN))
    ranked_task(prompt=make_prompt("Say <|end|> now.", split=Split.TRAIN))  # TRL would read its end-of-sequence token
    settings = {
        "dpo": {"batch_size": 2},
        "sft": {"batch_size": 2},
        "reward": CIRCLE["reward"],
        "grpo": {"episodes": 32, "loss": "dr_grpo", "max_new_tokens": 4},
    }
    start_round(project=project, methods=["sft", "dpo", "reward", "grpo"], settings=settings, by=None)
    folder = written(tmp_path / "out", "--to", "trl")
    assert (folder / "start" / "adapter_model.safetensors").exists()
    done = subprocess.run(
        command("tests.forked_script", "train.py", "--try", "--model", base),  # the other one is started as by hand
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "1-sft: 1 train rows left out: a text spells a special token" in done.stdout
    assert "2-dpo: " in done.stdout
    assert (folder / "out" / "start" / "model.safetensors").exists()
    for stage in ("2-dpo", "4-grpo"):
        assert (folder / "out" / stage / "model" / "model.safetensors").exists()
    described = json.loads((folder / "round.json").read_text())["stages"][3]
    assert (described["trainer"], described["arguments"]["scale_rewards"]) == ("grpo", "none")


def test_openrlhf_asks_as_many_prompts_as_the_round_had_episodes():
    """1,000 prompts with four answers each, for a round of 640 episodes: 160 prompts once, and not all of them."""

    class Counted(ExportedStage):
        def count(self, split: str) -> int:
            return 1000

    run = TrainingRun(method="ppo", config={"episodes": 640})
    called = openrlhf.COMMANDS["ppo"](Counted("1-ppo", run, {"train": "data/1-ppo-train.jsonl"}))
    assert "--data.max_samples 160 " in called
    assert "--train.num_episodes 1 " in called
