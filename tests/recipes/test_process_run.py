"""The entry point: how a recipe ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.forked import command
from training.methods import SampleConfig
from training.recipes.process.run import execute
from training.recipes.process.seeds import derived_seed
from training.rundir import RunDir

pytestmark = pytest.mark.recipes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path / "run")
    run.prepare(config={"method": "sample", "settings": {}, "inputs": {}}, rows=[])
    return run


def start(run: RunDir) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("tests.recipes.napping", run.path),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def test_sigterm_ends_it_by_the_signal_so_that_it_is_tried_again(run: RunDir):
    process = start(run)
    wait_until(run.progress)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM
    assert "Traceback" not in output
    assert run.result() is None


def test_it_does_not_outlive_the_process_that_started_it(run: RunDir):
    """A worker that was killed cannot stop anything; two recipes in one folder would spoil both."""
    script = f"{sys.executable} -m tests.recipes.napping {run.path} & echo $!; wait"
    worker = subprocess.Popen(["bash", "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    recipe = int(worker.stdout.readline())
    wait_until(run.progress)
    worker.kill()
    worker.wait()
    wait_until(lambda: not alive(recipe), 15)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"settings": {}, "inputs": {"refuse": True}}, "not today"),
        ({"settings": {"temperature": -1.0}}, "temperature: should be at least"),
        ({"settings": {"colour": "red"}}, "colour"),
    ],
)
def test_what_the_user_can_put_right_is_one_line_and_exit_code_1(tmp_path: Path, config: dict, message: str):
    run = RunDir(tmp_path / "run")
    run.prepare(config={"method": "sample", **config}, rows=[])
    process = start(run)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert message in output
    assert "Traceback" not in output


def test_the_result_says_what_the_attempt_took(run: RunDir):
    def recipe(run, config, inputs):
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
        return {"completions": 0}

    execute(recipe, SampleConfig, run)
    result = run.result()
    assert result["processor_seconds"] >= 0.3
    assert (result["gpu_seconds"], result["completions"]) == (0, 0)


def test_seeds_differ_by_place_and_stay_the_same():
    assert derived_seed(0, "sample", 1) == derived_seed(0, "sample", 1)
    assert len({derived_seed(seed, place, n) for seed in (0, 1) for place in ("a", "b") for n in (1, 2)}) == 8
