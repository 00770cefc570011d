"""Runs that end badly, by real means: a full disk, a broken model, too little memory, a kill. Each says why."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotation.models import PolicyVersion, Split
from tests import disks
from tests.forked import ForkingExecutor
from tests.tiny_model import tiny_checkpoint
from training.actions.rounds import start_round
from training.executors.local import LocalExecutor
from training.models import RunStatus, TrainingRound, TrainingRun
from training.rundir import RunDir
from training.worker.loop import Worker, config_for, rows_for

pytestmark = [pytest.mark.django_db, pytest.mark.recipes]

ROUND = "/projects/letters/rounds/1/"
REWARD = {"pooling": "mean", "learning_curve": 0, "lora_rank": 4, "top_blocks": 2, "gate": "report"}
SMALL = {"epochs": 2, "reference_samples": 8, "max_new_tokens": 6}
NEEDS_MOUNT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture
def model(project, policy: PolicyVersion, tmp_path: Path) -> Path:
    folder = tiny_checkpoint(tmp_path / "base")
    PolicyVersion.objects.update(checkpoint=str(folder))
    return folder


@pytest.fixture
def worker(settings) -> Worker:
    settings.TRAINING_POLL_SECONDS = 0.05
    return Worker(ForkingExecutor())


@pytest.fixture
def judged(ranked_task, make_prompt) -> None:
    """Something to train on, whatever side the first prompt fell on."""
    for number in range(3):
        texts = [f"The sea is calm {number}.", f"Rain {number}.", f"Green and warm {number}."]
        ranked_task(texts, prompt=make_prompt(split=Split.TRAIN))


@pytest.fixture
def small_disk(settings, tmp_path: Path) -> Iterator[Path]:
    """Run directories on a disk of 64 kB."""
    with disks.small_disk(tmp_path / "small", "64k") as settings.RUN_DIR:
        yield settings.RUN_DIR


def prepared() -> TrainingRun:
    run = TrainingRun.objects.select_related("round__project", "snapshot").get()
    run.directory.prepare(config=config_for(run), rows=rows_for(run))
    return run


def start(project, method: str = "reward") -> TrainingRound:
    settings = {"reward": {**REWARD, **SMALL}} if method == "reward" else {}
    return start_round(project=project, methods=[method], by=None, settings=settings)


def test_a_full_disk_is_called_that_and_the_round_goes_on_once_there_is_room(
    project, model, judged, worker, as_user, admin, monkeypatch
):
    round = start(project)
    monkeypatch.setattr("training.models.rounds.new_submission", lambda: "first")
    full = prepared().directory.path / "progress.json.first.tmp"  # what the recipe writes before it renames it
    full.symlink_to("/dev/full")
    worker.run_until_idle()
    round.refresh_from_db()
    assert (round.status, round.reason) == (RunStatus.FAILED, "Reward model failed: no space left.")
    error = round.runs.get().error
    assert error.startswith("No space left: ")
    assert "error: no space left: " in error
    assert "what was being written needs" in error
    assert "Traceback" not in error
    client = as_user(admin)
    assert "No space left: " in client.get(ROUND).content.decode()

    assert not full.is_symlink()  # half of a file is of no use
    assert client.post(f"{ROUND}retry/").status_code == 302
    worker.run_until_idle()
    round.refresh_from_db()
    assert round.status == RunStatus.SUCCEEDED


@NEEDS_MOUNT
def test_a_disk_that_fills_up_while_a_state_is_written(project, model, judged, worker, small_disk):
    start(project)
    worker.run_until_idle()
    run = TrainingRun.objects.get()
    assert run.status == RunStatus.FAILED
    # Adapter, its gradient's two means and the head are about 80 kB.
    assert "of 0.07 MB are free" in run.error
    assert "needs more than" in run.error
    assert not list(run.directory.path.glob("*.tmp"))
    assert list(run.directory.metrics())


@NEEDS_MOUNT
def test_a_disk_that_is_full_before_a_run_starts(project, model, judged, worker, small_disk):
    start(project)
    run = prepared()
    with (small_disk / "everything else").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    worker.run_until_idle()
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert run.error == "Could not prepare the run: [Errno 28] No space left on device"


class Unsynced(LocalExecutor):
    """Starts recipes on a disk that takes what is written and does not sync it."""

    def command(self, recipe: str, directory: RunDir) -> list[str]:
        return [*disks.without_fsync(), *super().command(recipe, directory)]


def test_a_disk_that_does_not_sync_ends_a_run_in_words_and_another_try_succeeds(
    project, model, judged, worker, as_user, admin
):
    disks.without_fsync()  # or this is skipped
    round = start(project)
    Worker(Unsynced()).run_until_idle()
    run = TrainingRun.objects.get()
    assert run.status == RunStatus.FAILED
    assert f"error: the disk of {run.directory.path} takes no data ([Errno 5] Input/output error)" in run.error
    assert "Traceback" not in run.error
    assert run.directory.result() is None
    assert run.directory.load_state() is None
    assert not run.directory.checkpoint_path.exists()
    assert as_user(admin).post(f"{ROUND}retry/").status_code == 302
    worker.run_until_idle()
    round.refresh_from_db()
    assert round.status == RunStatus.SUCCEEDED


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("model.safetensors", halve, "cannot be read: Error while deserializing header"),
        ("config.json", Path.unlink, "is missing"),
    ],
)
def test_a_model_that_cannot_be_read_is_named(project, model, make_prompt, worker, name, spoil, said):
    make_prompt()
    spoil(model / name)
    start(project, "sample")
    worker.run_until_idle()
    run = TrainingRun.objects.get()
    assert (run.status, run.attempt) == (RunStatus.FAILED, 1)
    assert str(model) in run.error
    assert f"{name} {said}" in run.error
    assert "Traceback" not in run.error


def test_too_little_memory_is_called_that(project, policy, make_prompt, make_worker):
    make_prompt()
    start(project, "sample")
    greedy = (
        "import torch\n"
        "from training.methods import SampleConfig\n"
        "from training.recipes.process.run import run_recipe\n"
        "run_recipe(lambda run, config, inputs: torch.empty(10**18), SampleConfig)\n"
    )
    make_worker(sample=greedy).run_until_idle()
    run = TrainingRun.objects.get()
    assert run.status == RunStatus.FAILED
    assert "error: out of memory" in run.error
    assert "smaller batches" in run.error


def test_a_killed_process_says_so_goes_on_from_its_state_and_names_memory_at_last(
    project, policy, make_prompt, make_worker
):
    make_prompt()
    round = start(project, "sample")
    saves_and_dies = (
        "run.save_state(lambda folder: (folder / 'step').write_text('1'))\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    make_worker(sample=saves_and_dies).run_until_idle()
    run = round.runs.get()
    assert (run.status, run.attempt) == (RunStatus.FAILED, 3)
    killed = "The process was killed by signal 9, as the system does where memory runs out"
    assert run.error.startswith(killed)
    log = run.directory.log_path.read_text().splitlines()
    assert [line.partition(":")[0] for line in log] == ["Attempt 1", "Attempt 2"]
    assert all(killed in line and line.endswith("The next one goes on from the last state.") for line in log)


def test_killed_before_it_saved_anything_it_starts_from_the_beginning(project, policy, make_prompt, make_worker):
    from tests.training.conftest import SAMPLE

    make_prompt()
    start(project, "sample")
    dies_once = (
        "if not (run.path / 'before').exists():\n"
        "    (run.path / 'before').touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    make_worker(sample=dies_once + SAMPLE).run_until_idle()
    run = TrainingRun.objects.get()
    assert (run.status, run.attempt) == (RunStatus.SUCCEEDED, 2)
    assert "The next one starts from the beginning." in run.directory.log_tail()


def test_a_broken_state_is_named(project, model, judged, worker):
    start(project)
    directory = prepared().directory
    directory.save_state(lambda folder: (folder / "reward.pt").write_bytes(b"half of a state"))
    worker.run_until_idle()
    error = TrainingRun.objects.get().error
    assert f"{directory.state_path / 'reward.pt'}, from which the run should go on, cannot be read" in error


def test_every_broken_file_of_a_model_is_named(model, tmp_path: Path):
    from training.recipes.process.failures import broken_model_files

    def broken(name: str, content: str | None) -> list[str]:
        folder = tmp_path / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(model, folder)
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(content)
        return [said.replace(f"{folder}/", "") for said in broken_model_files(folder)]

    assert list(broken_model_files(model)) == []
    assert broken("tokenizer.json", None) == ["tokenizer.json is missing"]
    assert broken("model.safetensors", None) == ["model.safetensors is missing"]
    assert broken("model.safetensors.index.json", '{"weight_map": {"w": "model-2.safetensors"}}') == [
        "model-2.safetensors is missing"
    ]
    (said,) = broken("config.json", "{ no")
    assert said.startswith("config.json cannot be read: ")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "/nowhere"}')
    assert list(broken_model_files(adapter)) == ["/nowhere is not there"]
