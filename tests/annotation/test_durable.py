"""What is put in place was synced before its rename, and its folder after; where that fails, nothing is put there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from django.core.management import call_command

from annotation import durable
from annotation.actions.snapshots import take_snapshot
from annotation.exports.files import DownloadOptions, rendered
from training.recipes.process.files import replace_file, replace_folder
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
        assert happened[at - 1][0] == "sync"
        assert happened[at - 1][1] in (f"{name}.tmp", f"{name}.json.tmp")
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
    assert ("sync", snapshot.path.parent.parent.name) in happened[:at]  # the new folder's name


@needs_proc
@pytest.mark.django_db
def test_a_download_that_is_kept_and_an_export(project, ranked_task, happened, tmp_path):
    snapshot = take_snapshot(project=project, by=None)
    kept = rendered(snapshot, DownloadOptions("hh", "csv"))
    output = tmp_path / "exported.jsonl"
    call_command("export", project.slug, "--format", "hh", "--output", str(output))
    for path in (kept, output):
        at = happened.index(("rename", path.name))
        assert [what for what, _ in happened[at - 1 : at + 2]] == ["sync", "rename", "sync"]
        assert happened[at + 1] == ("sync", path.parent.name)


@needs_proc
def test_weights_of_an_evaluated_step(tmp_path, happened):
    replace_file(tmp_path / "candidates" / "5.safetensors", lambda path: path.write_bytes(b"weights"))
    after = [("sync", "5.safetensors.tmp"), ("rename", "5.safetensors"), ("sync", "candidates")]
    assert happened == [("sync", tmp_path.name), *after]


@pytest.mark.parametrize("why", [errno.EIO, errno.ENOSPC])
def test_where_the_disk_does_not_take_it_the_old_one_stays(tmp_path, monkeypatch, why):
    (tmp_path / "kept.json").write_text("old")
    (tmp_path / "new.json").write_text("new")

    def refuse(_descriptor: int) -> None:
        raise OSError(why, os.strerror(why))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=os.strerror(why)):
        durable.put_in_place(tmp_path / "new.json", tmp_path / "kept.json")
    assert (tmp_path / "kept.json").read_text() == "old"
    with pytest.raises(OSError, match=os.strerror(why)):
        durable.sync(tmp_path)


def test_a_file_system_without_fsync_of_folders_is_good_enough(tmp_path, monkeypatch):
    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    durable.sync(tmp_path)
    (tmp_path / "file").write_text("text")
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        durable.sync(tmp_path / "file")
