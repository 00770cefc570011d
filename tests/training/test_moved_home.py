"""PREFLOOP_HOME under another name: versions, adapters, reward models and prepared runs are found in the new place."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import connection

from annotation.models import PolicyVersion
from tests.tiny_model import tiny_checkpoint
from training.actions import retention
from training.rundir import RunDir

pytestmark = pytest.mark.django_db


def stored() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT checkpoint FROM annotation_policyversion ORDER BY number")
        return [row[0] for row in cursor.fetchall()]


@pytest.fixture
def home(tmp_path: Path, settings, project) -> Path:
    """A home with a base model, an adapter and a reward model over it, all named by whole paths, and a paused run."""
    home = tmp_path / "old"
    settings.HOME, settings.RUN_DIR = home, home / "runs"
    base, run = tiny_checkpoint(home / "models" / "base"), RunDir(home / "runs" / "7")
    run.checkpoint_path.mkdir(parents=True)
    adapter = {"base_model_name_or_path": str(base), "peft_type": "LORA"}
    (run.checkpoint_path / "adapter_config.json").write_text(json.dumps(adapter))
    (run.checkpoint_path / "adapter_model.safetensors").touch()
    (run.checkpoint_path / "reward.json").write_text(json.dumps({"base": str(base)}))
    config = {"settings": {}, "inputs": {"policy": str(run.checkpoint_path), "words": "as they are"}}
    RunDir(home / "runs" / "8").prepare(config=config, rows=[])
    first = PolicyVersion.objects.create(project=project, number=0, checkpoint=str(base))
    PolicyVersion.objects.create(project=project, number=1, checkpoint=str(run.checkpoint_path), parent=first)
    return home


@pytest.mark.slow
def test_a_moved_home_works(home: Path, settings):
    from training.recipes.models.reward_model import base_of
    from training.recipes.process import checkpoints

    assert stored() == ["models/base", "runs/7/checkpoint"]
    settings.HOME = home.rename(home.with_name("new"))
    settings.RUN_DIR = settings.HOME / "runs"
    base, version = PolicyVersion.objects.order_by("number")
    assert base.checkpoint == str(settings.HOME / "models/base")
    assert checkpoints.resolve(version.checkpoint).base == base.checkpoint
    assert base_of(Path(version.checkpoint)) == base.checkpoint
    inputs = RunDir(settings.HOME / "runs" / "8").config()["inputs"]
    assert inputs == {"policy": version.checkpoint, "words": "as they are"}
    assert {Path(base.checkpoint), Path(version.checkpoint)} <= retention.needed_paths()
    assert PolicyVersion.objects.get(checkpoint=version.checkpoint) == version


def test_a_model_outside_the_home_keeps_its_whole_path(project, tmp_path: Path, settings):
    settings.HOME = tmp_path / "home"
    PolicyVersion.objects.create(project=project, number=0, checkpoint="/models/base")
    assert stored() == ["/models/base"]
    assert PolicyVersion.objects.get().checkpoint == "/models/base"


@pytest.mark.database
def test_what_an_older_database_holds_becomes_relative_even_if_the_home_has_moved_since(home: Path, settings):
    from importlib import import_module

    from django.apps import apps

    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE annotation_policyversion SET checkpoint = %s WHERE number = 0", [str(home / "models/base")]
        )
        cursor.execute(
            "UPDATE annotation_policyversion SET checkpoint = %s WHERE number = 1", [str(home / "runs/7/checkpoint")]
        )
    settings.HOME = home.rename(home.with_name("new"))
    migration = import_module("annotation.migrations.0025_checkpoints_in_home")
    migration.make_relative(apps, SimpleNamespace(connection=connection))
    assert stored() == ["models/base", "runs/7/checkpoint"]
