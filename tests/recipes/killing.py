"""Kill a recipe with SIGKILL at a chosen point: `python -m tests.recipes.killing RECIPE RUN_DIR POINT STEP`.

The points, each of the first time that STEP is reached:
    metrics   the step's row of metrics is written, its state is not
    progress  the step's progress is reported
    half      a state is written into its folder, which has not taken the place of the one before
    swap      the state before has stepped aside, the new one has not taken its place
    pause     the step's progress is reported; not killed, it says so by the file `paused` and waits for others to die
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.forked import ROOT, command
from training.rundir import RunDir

POINTS = ("metrics", "progress", "half", "swap")


def kill_at(run: RunDir, step: int, point: str = "progress") -> None:
    """Start the run's recipe as a process and wait for its death at that point."""
    recipe = run.config()["method"]
    with run.path.with_suffix(".log").open("ab") as log:
        process = subprocess.run(
            command("tests.recipes.killing", recipe, run.path, point, step),
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    assert process.returncode == -signal.SIGKILL, run.path.with_suffix(".log").read_text()
    assert run.result() is None


def die_at(point: str, step: int) -> None:
    """Change this process's run directories so that it ends there."""
    reached = 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    log_metrics, report_progress, save_state = RunDir.log_metrics, RunDir.report_progress, RunDir.save_state

    def log(self: RunDir, step_logged: int, **values: float) -> None:
        nonlocal reached
        log_metrics(self, step_logged, **values)
        reached = step_logged
        if point == "metrics" and reached >= step:
            die()

    def report(self: RunDir, done: int, total: int, unit: str) -> None:
        report_progress(self, done, total, unit)
        if point == "progress" and done >= step:
            die()
        if point == "pause" and done >= step:
            (self.path / "paused").touch()
            while True:
                time.sleep(0.05)

    def save(self: RunDir, write: Callable[[Path], None]) -> None:
        def write_and_die(folder: Path) -> None:
            write(folder)
            if point in ("half", "swap") and reached >= step:
                if point == "swap":
                    self.state_path.rename(self.path / "state.old")
                die()

        save_state(self, write_and_die)

    RunDir.log_metrics, RunDir.report_progress, RunDir.save_state = log, report, save


if __name__ == "__main__":
    recipe, folder, point, step = sys.argv[1:]
    die_at(point, int(step))
    sys.argv = [recipe, folder]
    runpy.run_module(f"training.recipes.{recipe}", run_name="__main__", alter_sys=True)
