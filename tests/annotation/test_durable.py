"""What is put in place was synced before its rename, and its folder after."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from annotation.actions.snapshots import take_snapshot
from training.recipes.process.files import replace_folder
from training.rundir import RunDir


@pytest.fixture
def happened(monkeypatch) -> list[tuple[str, str]]:
    """What was synced and renamed, in order, by name."""
    found: list[tuple[str, str]] = []
    fsync, rename, replace = os.fsync, Path.rename, Path.replace

    def noted(what, act):
        def do(self, target):
            found.append((what, Path(target).name))
            return act(self, target)

        return do

    def synced(descriptor: int) -> None:
        found.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", noted("rename", rename))
    monkeypatch.setattr(Path, "replace", noted("rename", replace))
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks /proc which file was synced")


@needs_proc
def test_result_and_data_of_a_run(tmp_path, happened):
    run = RunDir(tmp_path / "run")
    run.prepare(config={"method": "toy"}, rows=[{"a": 1}])
    run.finish({"done": True})
    for name in ("data", "config", "result"):
        at = next(at for at, (what, file) in enumerate(happened) if what == "rename" and file.startswith(name))
        assert happened[at - 1] == ("sync", f"{name}.tmp")
        assert happened[at + 1] == ("sync", "run")


@needs_proc
@pytest.mark.parametrize("what", ["state", "checkpoint"])
def test_folders_of_a_run_are_synced_before_the_old_one_goes(tmp_path, happened, what):
    run = RunDir(tmp_path / "run")

    def write(folder: Path) -> None:
        (folder / "inner").mkdir()
        (folder / "inner" / "weights.bin").write_bytes(b"weights")

    for _ in range(2):
        happened.clear()
        run.save_state(write) if what == "state" else replace_folder(run.checkpoint_path, write)
    first_rename = next(at for at, (did, _) in enumerate(happened) if did == "rename")
    assert {("sync", "weights.bin"), ("sync", "inner"), ("sync", f"{what}.tmp")} <= set(happened[:first_rename])
    assert happened[-1] == ("sync", "run")


@needs_proc
@pytest.mark.django_db
def test_a_snapshot(project, ranked_task, happened):
    snapshot = take_snapshot(project=project, by=None)
    at = happened.index(("rename", snapshot.path.name))
    assert happened[at - 1][0] == "sync"
    assert happened[at - 1][1].startswith("taking-")
    assert happened[at + 1] == ("sync", "snapshots")
