"""Recipes as processes that are forked from one which has imported torch already: four seconds less for each.

A forked recipe has its own session, log and exit code, as one has that the local executor starts. A few tests start
theirs by exec all the same: test_ppo.py, test_kills.py, test_loop.py.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import subprocess
import sys
import warnings
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import BinaryIO

from training.executors.devices import Lease
from training.executors.local import LocalExecutor
from training.rundir import SUBMISSION, RunDir

ROOT = Path(__file__).resolve().parent.parent
FORKS = multiprocessing.get_context("forkserver")


class Forked:
    """As much of subprocess.Popen as an executor and the tests ask for."""

    def __init__(self, module: str, arguments: list[str], log: Path, submission: str = "") -> None:
        FORKS.set_forkserver_preload(["tests.preloaded"])
        with contextlib.chdir(ROOT):
            forkserver.ensure_running()
        ready, told = FORKS.Pipe(duplex=False)
        self.process = FORKS.Process(target=_run, args=(module, arguments, str(log), told, submission), daemon=True)
        self.process.start()
        told.close()
        with contextlib.suppress(EOFError):  # it ended at once
            ready.recv()
        ready.close()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired(self.process.name, timeout or 0)
        return self.process.exitcode


def _run(module: str, arguments: list[str], log: str, told: Connection, submission: str) -> None:
    """Run the module as `python -m module arguments` would, in a session of its own."""
    os.setsid()
    os.chdir(ROOT)
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", SUBMISSION: submission}
    with open(log, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    told.send(True)
    told.close()
    warnings.filterwarnings("ignore", message=".*found in sys.modules after import of package", category=RuntimeWarning)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


class ForkingExecutor(LocalExecutor):
    """Forks a recipe of one process; several are left to torch's launcher."""

    def open_process(
        self, recipe: str, directory: RunDir, log: BinaryIO, leased: Lease | None = None
    ) -> subprocess.Popen[bytes] | Forked:
        if directory.config().get("settings", {}).get("processes", 1) > 1:
            return super().open_process(recipe, directory, log, leased)
        module, arguments = f"training.recipes.{recipe}", [str(directory.path)]
        return Forked(module, arguments, directory.log_path, directory.writer())
