"""Files that another machine replaces while they are read."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from training import run_files
from training.jobdir import JobDir
from training.rundir import RunDir


@pytest.fixture
def stale(monkeypatch):
    """Have the next so many openings of a file of this name answer as NFS does for a replaced one."""
    opening, left = Path.open, {}

    def opened(path: Path, *args: object, **kwargs: object):
        if left.get(path.name, 0):
            left[path.name] -= 1
            raise OSError(errno.ESTALE, "Stale file handle", str(path))
        return opening(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(run_files, "WAITS_SECONDS", (0.0, 0.0))
    return left


def test_a_stale_file_is_read_again(tmp_path, stale):
    run, job = RunDir(tmp_path), JobDir(tmp_path, "s")
    job.path.mkdir(parents=True)
    job.write("beat.json", {"beat": 31})
    job.write("exit.json", {"code": 0})
    run.report_progress(3, 4, "updates")
    run.log_metrics(1, loss=0.5)
    run.log_path.write_text("printed\n")
    job.output_path.write_text("printed beside\n")
    for name in ("beat.json", "exit.json", "progress.json", "metrics.jsonl", "log.txt", "output.txt"):
        stale[name] = 2
    assert job.beat() == 31
    assert job.ended() == (0, "")
    assert run.progress() == {"done": 3, "total": 4, "unit": "updates"}
    assert run.metrics_since(0)[0] == [{"step": 1, "loss": 0.5}]
    assert run.log_tail() == "printed\n"
    assert job.output_tail(100) == "printed beside\n"
    assert set(stale.values()) == {0}


def test_one_that_stays_stale_is_an_error_and_others_are_at_once(tmp_path, stale):
    run = RunDir(tmp_path)
    run.report_progress(3, 4, "updates")
    stale["progress.json"] = 3
    with pytest.raises(OSError, match="Stale"):
        run.progress()
    run.progress_path.write_text("[3]")
    with pytest.raises(TypeError, match="should hold a JSON object, not list"):
        run.progress()
    run.progress_path.unlink()
    assert run.progress() is None
    assert JobDir(tmp_path / "no folder", "s").ended() is None


def test_the_end_of_a_text_is_whole_characters(tmp_path):
    run = RunDir(tmp_path)
    run.log_path.write_text("é" * 10 + "ab\x00c", "utf-8")
    assert run.log_tail(5) == "ééabc"
    assert run.log_tail(100) == "é" * 10 + "abc"
