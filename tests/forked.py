"""Recipes as processes that are forked from one which has imported torch already: four seconds less for each.

One such process serves a whole test run (tests/fork_server.py). A program is started by a small client in its place
(tests/fork_client.py): a real process with the same arguments, environment, files, signals and exit code, which ends
when the program does and takes the program with it when it is killed. A few tests start theirs by exec all the same:
test_ppo.py, test_kills.py, test_loop.py.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

from training.executors.local import LocalExecutor, processes_of
from training.methods.base import module_of
from training.rundir import RunDir

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
CLIENT = Path(__file__).with_name("fork_client.py")


def command(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module as `python -m module arguments` does, without its imports' time."""
    return [PYTHON, "-IS", str(CLIENT), str(_server()), PYTHON, "-m", module, *map(str, arguments)]


def worker() -> str:
    """Return the command that stands for Python where pytest-xdist starts a process: forked, it has torch already."""
    return shlex.join(command("tests.forked_worker"))


@functools.cache
def python() -> Path:
    """Return a program to stand for sys.executable: it forks recipes and runs everything else as Python does."""
    path = _server().with_name(f"python-{os.getpid()}")
    path.write_text(f'#!/bin/sh\nexec "{PYTHON}" -IS "{CLIENT}" "{_server()}" "{PYTHON}" "$@"\n')
    path.chmod(0o755)
    return path


class ForkingExecutor(LocalExecutor):
    """Forks a recipe of one process; several are left to torch's launcher."""

    def command(self, recipe: str, directory: RunDir) -> list[str]:
        if processes_of(directory) > 1:
            return super().command(recipe, directory)
        return command(module_of(recipe), directory.path)


def _server() -> Path:
    """Return the socket of the process that forks; the first that asks starts it for all processes of the test run."""
    path = Path(os.environ["PREFLOOP_TEST_FOLDER"]) / "forks"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _answers(path):
            return path
        path.unlink(missing_ok=True)
        with path.with_suffix(".log").open("wb") as log:
            process = subprocess.Popen(
                [PYTHON, "-m", "tests.fork_server", str(path), os.environ["PREFLOOP_TEST_PROCESS"]],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while not _answers(path):
            assert process.poll() is None, path.with_suffix(".log").read_text()
            time.sleep(0.05)
    return path


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        return asking.connect_ex(str(path)) == 0
