"""The command that a run becomes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from training.rundir import RunDir
from training.worker.executors.local import LocalExecutor


def test_a_run_is_one_process_unless_its_settings_ask_for_more(tmp_path):
    directory = RunDir(tmp_path / "run")
    directory.prepare(config={"method": "ppo", "settings": {}, "inputs": {}}, rows=[])
    recipe = ["-m", "training.recipes.ppo", str(directory.path)]
    assert LocalExecutor().command("ppo", directory) == [sys.executable, *recipe]
    directory.prepare(config={"method": "ppo", "settings": {"processes": 2}, "inputs": {}}, rows=[])
    command = LocalExecutor().command("ppo", directory)
    assert command[-3:] == recipe
    assert "--nproc_per_node=2" in command


def test_only_the_process_of_this_very_folder_is_ended_as_a_leftover(tmp_path):
    """A process id in an old file may belong to run 12 by now, whose folder begins like that of run 1."""
    first, twelfth = RunDir(tmp_path / "1"), RunDir(tmp_path / "12")
    command = [sys.executable, "-c", "import time; time.sleep(60)", str(twelfth.path)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        for directory in (first, twelfth):
            directory.path.mkdir()
            (directory.path / "pid").write_text(str(process.pid))
        LocalExecutor().stop_leftover(first)
        assert process.poll() is None
        LocalExecutor().stop_leftover(twelfth)
        assert process.wait(10) == -signal.SIGKILL
    finally:
        process.kill()


def test_a_recipe_gets_no_secrets_of_the_web_app(monkeypatch):
    from training.worker.executors.local import without_secrets

    monkeypatch.setenv("PREFLOOP_SECRET_KEY", "sesame")
    monkeypatch.setenv("DATABASE_URL", "postgres://user:sesame@host/name")
    monkeypatch.setenv("HF_HOME", "/models")
    given = without_secrets(os.environ)
    assert "sesame" not in str(given)
    assert given["HF_HOME"] == "/models"
