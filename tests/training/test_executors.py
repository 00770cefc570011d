"""The command that a run becomes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from training.actions import packages
from training.executors.devices import DevicesBusy, lease, visible_devices
from training.executors.local import LocalExecutor
from training.executors.recipe_environment import environment_of_recipe
from training.rundir import RunDir
from training.worker import playground, preparation


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
    monkeypatch.setenv("PREFLOOP_PRECISION", "bfloat16")
    monkeypatch.setenv("PREFLOOP_SERVERS", "http://one.test/v1=OWN_KEY, http://two.test/v1=OTHER_KEY")
    monkeypatch.setenv("PREFLOOP_RECIPE_ENVIRONMENT", "ASKED")
    run = RunDir(tmp_path / "run")
    run.prepare(config={"settings": {"server": "http://one.test/v1/"}}, rows=[])
    with run.log_path.open("wb") as log:
        assert _Printer().open_process("sample", run, log).wait(60) == 0
    given = json.loads(run.log_path.read_text())
    assert "sesame" not in json.dumps(given)
    assert (given["HF_HOME"], given["OMP_NUM_THREADS"], given["ASKED"]) == ("/models", "1", "yes")
    assert (given["PATH"], given["PREFLOOP_PRECISION"]) == (os.environ["PATH"], "bfloat16")
    assert (given["PREFLOOP_SERVERS"], given["OWN_KEY"]) == ("http://one.test/v1=OWN_KEY", "for this server")


def test_processes_beside_the_runs_get_no_keys_either(monkeypatch, tmp_path):
    """Those of the playground and of merged copies; the one that fetches a base model has the token of the hub."""
    for name in ("PREFLOOP_SECRET_KEY", "DATABASE_URL", "EMAIL_HOST_PASSWORD", "OTHER_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "sesame")
    given: list[dict[str, str]] = []

    def begin(*_: object, env: dict[str, str], **__: object) -> None:
        given.append(env)
        raise InterruptedError

    monkeypatch.setattr("subprocess.Popen", begin)
    monkeypatch.setattr("subprocess.run", begin)
    monkeypatch.setattr("annotation.live.announce", lambda *_: None)
    policy = SimpleNamespace(project_id=1, checkpoint=str(tmp_path))
    package = SimpleNamespace(policy=policy, attempt=1, path=tmp_path / "package")
    for start in (playground.Child, lambda: packages._make(package), lambda: preparation._start("someone/model")):
        with pytest.raises(InterruptedError):
            start()
    assert [sorted(name for name, value in env.items() if value == "sesame") for env in given] == [[], [], ["HF_TOKEN"]]
    assert all(env["PATH"] == os.environ["PATH"] for env in given)


def test_keys_of_a_tracker_go_along_where_runs_report_to_it(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "sesame")
    assert "WANDB_API_KEY" not in environment_of_recipe(os.environ, {})
    monkeypatch.setenv("PREFLOOP_REPORT_TO", "tensorboard, wandb")
    assert environment_of_recipe(os.environ, {})["WANDB_API_KEY"] == "sesame"


def test_a_run_leases_the_gpus_that_it_sees(tmp_path, monkeypatch, settings):
    """A run of one process sees one card, TRL refuses more; another waits for a free one, and a dead one frees its."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-8f6")
    settings.RUN_DIR = tmp_path
    shows = "import os, sys, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(60)"

    class Showing(LocalExecutor):
        def command(self, recipe, directory):
            return [sys.executable, "-c", shows, str(directory.path)]

    runs = [RunDir(tmp_path / str(number)) for number in range(4)]
    for number, run in enumerate(runs):
        run.prepare(config={"method": "ppo", "settings": {"processes": 2 if number == 3 else 1}, "inputs": {}}, rows=[])
    first, second = Showing().start("ppo", runs[0]), Showing().start("ppo", runs[1])
    try:
        wait_for_text(runs[0])
        with pytest.raises(DevicesBusy):
            Showing().start("ppo", runs[2])
        second.process.kill()  # not through stop(): as the system does it
        second.process.wait()
        assert second.poll() == -signal.SIGKILL
        third = Showing().start("ppo", runs[2])
        third.stop()
        with pytest.raises(DevicesBusy, match="2 of 2 GPUs are needed"):
            Showing().start("ppo", runs[3])
    finally:
        first.stop()
        second.stop()
    both = Showing().start("ppo", runs[3])
    wait_for_text(runs[3])
    both.stop()
    assert [run.log_tail().strip() for run in (runs[0], runs[3])] == ["3", "3,GPU-8f6"]


def wait_for_text(run: RunDir) -> None:
    until = time.monotonic() + 30
    while not run.log_tail().strip() and time.monotonic() < until:
        time.sleep(0.02)


def test_a_lease_outlives_the_worker_that_took_it(tmp_path):
    leased = lease(1, ["0"], tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=leased.locks)
    try:
        leased.release()  # as when the worker dies
        with pytest.raises(DevicesBusy):
            lease(1, ["0"], tmp_path)
    finally:
        child.kill()
        child.wait()
    lease(1, ["0"], tmp_path).release()


def test_visible_gpus_are_those_named_or_those_there_are(tmp_path):
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert visible_devices({}, tmp_path) == ["0", "2", "10"]
    assert visible_devices({"CUDA_VISIBLE_DEVICES": "1, 4"}, tmp_path) == ["1", "4"]
    assert visible_devices({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []
    assert lease(2, [], tmp_path).environment() == {}  # without GPUs processes share the processor's cores
    with pytest.raises(ValueError, match="2 processes with a GPU each, and this machine has 1"):
        lease(2, ["0"], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "code"), [("os.kill(os.getpid(), 9)", -signal.SIGKILL), ("run.end('no'); sys.exit(1)", 1)]
)
def test_a_killed_process_of_several_is_told_from_one_that_gave_up(tmp_path, settings, end: str, code: int):
    """torch's launcher ends with 1 in either case."""
    settings.RUN_DIR = tmp_path
    run = RunDir(tmp_path / "run")
    run.prepare(config={"method": "ppo", "settings": {"processes": 2}, "inputs": {}}, rows=[])
    run.end("an earlier attempt")
    script = tmp_path / "recipe.py"
    script.write_text(
        f"import os, sys, time\nsys.path.insert(0, {str(settings.BASE_DIR)!r})\n"
        "from training.rundir import RunDir\nrun = RunDir(sys.argv[1])\n"
        f"if os.environ['RANK'] == '1':\n    {end}\ntime.sleep(60)\n"
    )

    class Scripted(LocalExecutor):
        def command(self, recipe, directory):
            whole = super().command(recipe, directory)
            return [*whole[: whole.index("--nproc_per_node=2") + 1], str(script), str(directory.path)]

    process = Scripted().start("ppo", run)
    try:
        process.process.wait(120)
        assert process.process.returncode == 1
        assert process.poll() == code
    finally:
        process.stop()
