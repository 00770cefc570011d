"""Freeing space, on real files: what is needed stays, whatever is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import call_command

from annotation.models import PolicyVersion
from training.actions.retention import leftovers, needed_paths, prune
from training.actions.rounds import start_round
from training.models import Package, PackageStatus, RunStatus, TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
MEGABYTE = b"x" * 2**20


def fill(run: TrainingRun) -> None:
    directory = run.directory
    for folder in (directory.checkpoint_path, directory.state_path):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights.safetensors").write_bytes(MEGABYTE)


@pytest.fixture
def five_rounds(project, policy, ranked_task, make_worker) -> list[TrainingRun]:
    """Each with a reward model and a policy, every file a megabyte."""
    for _ in range(5):
        start_round(project=project, methods=["reward", "ppo"], by=None)
        make_worker().run_until_idle()
    runs = list(TrainingRun.objects.order_by("pk"))
    for run in runs:
        fill(run)
    return runs


def test_what_a_version_or_the_next_round_needs_stays(five_rounds, project):
    freed = prune(project, keep_last=0)
    for run in five_rounds:
        assert not run.directory.state_path.exists()
        if run.method == "ppo":
            assert (run.directory.checkpoint_path / "weights.safetensors").exists()
        assert run.directory.result() is not None
        assert run.directory.config_path.exists()
    rewards = [run.directory.checkpoint_path.exists() for run in five_rounds if run.method == "reward"]
    assert rewards == [False] * 4 + [True]  # the newest is what the next round may train against
    assert sum(leftover.bytes for leftover in freed) == (10 + 4) * 2**20
    assert prune(project, keep_last=0) == []


def test_the_last_rounds_stay_as_they_are(five_rounds, project):
    prune(project, keep_last=3)
    states = [run.directory.state_path.exists() for run in five_rounds]
    assert states == [False] * 4 + [True] * 6


def test_a_round_that_failed_keeps_what_another_try_needs_until_a_later_one_succeeded(
    project, policy, ranked_task, make_worker
):
    start_round(project=project, methods=["reward"], by=None)
    make_worker(reward="sys.exit(3)").run_until_idle()
    run = TrainingRun.objects.get()
    fill(run)
    assert leftovers(project, 0) == []
    start_round(project=project, methods=["reward"], by=None)
    make_worker().run_until_idle()
    assert {leftover.path for leftover in leftovers(project, 0)} == {
        run.directory.state_path,
        run.directory.checkpoint_path,
    }


def test_an_unfinished_run_keeps_its_state_and_what_it_starts_from(five_rounds, project, make_worker):
    earlier = five_rounds[0]
    last = five_rounds[-1]
    config = last.directory.config()
    config["inputs"]["reward_model"] = str(earlier.directory.checkpoint_path)
    last.directory.config_path.write_text(json.dumps(config))
    TrainingRun.objects.filter(pk=last.pk).update(status=RunStatus.QUEUED, finished_at=None)
    prune(project, keep_last=0)
    assert last.directory.state_path.exists()
    assert earlier.directory.checkpoint_path.exists()


def test_the_model_below_an_adapter_stays(five_rounds, project):
    """A version that learned all weights is the base of later adapters."""
    base = five_rounds[1].directory.checkpoint_path
    newest = Path(PolicyVersion.objects.order_by("-number").first().checkpoint)
    (newest / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    assert base.resolve() in needed_paths()


def test_a_merged_copy_can_go_and_is_made_again(five_rounds, project, as_user, admin):
    package = Package.objects.create(policy=PolicyVersion.objects.get(number=1), status=PackageStatus.READY)
    package.path.mkdir(parents=True)
    (package.path / "model.safetensors").write_bytes(MEGABYTE)
    client = as_user(admin)
    assert "Merged copy of v1" in client.get("/projects/letters/costs/").content.decode()
    assert client.post("/projects/letters/costs/free-space/").status_code == 302
    assert not package.path.exists()
    assert not Package.objects.exists()


def test_a_dry_run_deletes_nothing(five_rounds, project, capsys):
    call_command("prune_artefacts", "--project", "letters", "--keep-last", "0", "--dry-run")
    said = capsys.readouterr().out
    assert "Would free 14.0" in said.replace("\xa0", " ")
    assert all(run.directory.state_path.exists() for run in five_rounds)
