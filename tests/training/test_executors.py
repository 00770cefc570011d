"""The command that a run becomes."""

from __future__ import annotations

import sys

from training.executors.local import LocalExecutor
from training.rundir import RunDir


def test_a_run_is_one_process_unless_its_settings_ask_for_more(tmp_path):
    directory = RunDir(tmp_path / "run")
    directory.prepare(config={"method": "ppo", "settings": {}, "inputs": {}}, rows=[])
    recipe = ["-m", "training.recipes.ppo", str(directory.path)]
    assert LocalExecutor().command("ppo", directory) == [sys.executable, *recipe]
    directory.prepare(config={"method": "ppo", "settings": {"processes": 2}, "inputs": {}}, rows=[])
    command = LocalExecutor().command("ppo", directory)
    assert command[-3:] == recipe
    assert "--nproc_per_node=2" in command
