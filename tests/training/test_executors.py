"""The command that a run becomes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from training.rundir import RunDir
from training.worker.executors.local import LocalExecutor
from training.worker.recipe_environment import environment_of_recipe


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


class _Printer(LocalExecutor):
    """Starts a program that prints its environment, in the place of a recipe."""

    def command(self, recipe: str, directory: RunDir) -> list[str]:
        return [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]


def test_a_recipe_gets_the_environment_it_needs_and_no_more(monkeypatch, tmp_path):
    secrets = {
        "PREFLOOP_SECRET_KEY": "sesame 1",
        "DATABASE_URL": "postgres://user:sesame@host/name",
        "EMAIL_HOST_PASSWORD": "sesame 3",
        "HF_TOKEN": "sesame 4",
        "AWS_SECRET_ACCESS_KEY": "sesame 5",
        "WANDB_API_KEY": "sesame 6",
        "OTHER_KEY": "sesame 7",
        "SOME_THING_OF_THE_SHELL": "sesame 8",
    }
    for name, value in (secrets | {"HF_HOME": "/models", "OMP_NUM_THREADS": "1", "ASKED": "yes"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OWN_KEY", "for this server")
    monkeypatch.setenv("PREFLOOP_SERVERS", "http://one.test/v1=OWN_KEY, http://two.test/v1=OTHER_KEY")
    monkeypatch.setenv("PREFLOOP_RECIPE_ENVIRONMENT", "ASKED")
    run = RunDir(tmp_path / "run")
    run.prepare(config={"settings": {"server": "http://one.test/v1/"}}, rows=[])
    with run.log_path.open("wb") as log:
        assert _Printer().open_process("sample", run, log).wait(60) == 0
    given = json.loads(run.log_path.read_text())
    assert "sesame" not in json.dumps(given)
    assert (given["HF_HOME"], given["OMP_NUM_THREADS"], given["ASKED"]) == ("/models", "1", "yes")
    assert given["PATH"] == os.environ["PATH"]
    assert (given["PREFLOOP_SERVERS"], given["OWN_KEY"]) == ("http://one.test/v1=OWN_KEY", "for this server")


def test_keys_of_a_tracker_go_along_where_runs_report_to_it(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "sesame")
    assert "WANDB_API_KEY" not in environment_of_recipe(os.environ, {})
    monkeypatch.setenv("PREFLOOP_REPORT_TO", "tensorboard, wandb")
    assert environment_of_recipe(os.environ, {})["WANDB_API_KEY"] == "sesame"
