"""Snapshots and exports train in TRL's own trainers, as they are."""

from __future__ import annotations

import io
import re
import shlex
import uuid
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from annotation.actions.snapshots import take_snapshot
from annotation.models import Membership, Role, Split
from tests.tiny_model import tiny_checkpoint

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.django_db, pytest.mark.recipes]


def test_reward_trainer_takes_a_snapshot(project, ranked_task, tmp_path: Path):
    from datasets import load_dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    for number in range(3):
        ranked_task([f"Fine {number}.", f"Poor {number}.", f"Worse {number}."])
    snapshot = take_snapshot(project=project, by=None)
    checkpoint = tmp_path / "tiny"
    tiny_checkpoint(checkpoint)
    rows = load_dataset("json", data_files=str(snapshot.path), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(rows) == snapshot.rows == 12
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint, num_labels=1)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    trainer = RewardTrainer(
        model=model,
        processing_class=AutoTokenizer.from_pretrained(checkpoint),
        train_dataset=rows,
        args=RewardConfig(
            output_dir=str(tmp_path / "out"),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to=[],
            per_device_train_batch_size=4,
            num_train_epochs=1,
            save_strategy="no",
        ),
    )
    trainer.train()
    assert trainer.state.global_step == 3
    assert any(not weight.equal(before[name]) for name, weight in trainer.model.named_parameters())


def test_the_guide_trains_with_every_trainer_that_it_names(project, judged_over_http, tmp_path: Path, monkeypatch):
    """The TRL part of docs/guides/train-elsewhere.md as it stands there, but with a tiny model."""
    guide = (ROOT / "docs" / "guides" / "train-elsewhere.md").read_text("utf-8")
    part = guide[guide.index("## TRL") : guide.index("## OpenRLHF")]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    commands = re.findall(r"^python manage\.py (.+)$", part, flags=re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        name, *arguments = shlex.split(command.replace("SLUG", project.slug))
        call_command(name, *arguments, stdout=io.StringIO())
    checkpoint = tiny_checkpoint(tmp_path / "tiny")
    program = "\n".join(re.findall(r"```python\n(.*?)```", part, flags=re.DOTALL))
    program = program.replace('"HuggingFaceTB/SmolLM2-135M-Instruct"', repr(str(checkpoint)))
    # What a guide leaves to the defaults, kept small: two steps, and the numbers that a CPU is fast with.
    small = 'bf16=False, max_steps=2, per_device_train_batch_size=2, report_to=[], save_strategy="no", output_dir='
    exec(program.replace("output_dir=", small), trained := {})
    for name in ("pairs", "imitate", "labelled"):
        assert len(trained[name]) >= 3


@pytest.fixture
def judged_over_http(project, policy, make_prompt, open_ranking_task, as_user):
    """Four tasks, ranked over the API by one person, who draws a line."""
    person = User.objects.create_user("dora")
    Membership.objects.create(project=project, user=person, role=Role.ANNOTATOR)
    client, api = as_user(person), f"/api/v1/projects/{project.slug}"
    for number in range(4):
        texts = [f"Good {number}.", f"Poor {number}.", f"Worse {number}."]
        open_ranking_task(texts, prompt=make_prompt(f"Say {number}.", split=Split.TRAIN))
        seat = client.post(f"{api}/tasks/claim/").json()
        pk = {each["text"]: each["id"] for each in seat["candidates"]}
        body = {
            "client_uuid": str(uuid.uuid4()),
            "tiers": [[pk[text]] for text in texts],
            "unacceptable": [pk[texts[-1]]],
        }
        stored = client.post(f"{api}/assignments/{seat['id']}/submit/", body, content_type="application/json")
        assert stored.status_code == 200
