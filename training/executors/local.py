"""An executor that starts processes on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.utils.translation import gettext_lazy

from training.executors.base import Executor, Job, Phase, State, processes_of
from training.executors.devices import Lease, lease, visible_devices
from training.executors.recipe_environment import environment_of_recipe
from training.rundir import SUBMISSION, WORKER, RunDir, process_sign

_STARTED: dict[str, LocalProcess] = {}  # by name of the job, until it is cancelled or its end is settled
LEASES = "gpus"  # folder of the locks, beside the run directories


class LocalProcess:
    """A process that leads a session of its own; it is stopped together with those that it started."""

    def __init__(
        self, process: subprocess.Popen[bytes], lease: Lease | None = None, launched: RunDir | None = None
    ) -> None:
        """`launched` is the run's directory where the process is a launcher of several."""
        self.process, self.lease, self.launched = process, lease or Lease(), launched

    def poll(self) -> int | None:
        """Return the exit code, and -SIGKILL for a launcher of which a process was killed: its own code is 1 then."""
        code = self.process.poll()
        if code is None:
            return None
        self.lease.release()
        by_itself = self.launched is None or self.launched.ended_path.exists()
        return code if code != 1 or by_itself else -signal.SIGKILL

    def stop(self, grace_seconds: float = 10) -> None:
        if self.process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self.process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self.process.wait()
        self.lease.release()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class LocalExecutor(Executor):
    """Starts a recipe as a process of this machine, and writes its process id into the run directory."""

    name = "local"
    label = gettext_lazy("This machine")
    order = 0
    outlives_worker = False

    def submit(self, job: Job) -> None:
        """Start a process, after what an earlier attempt has left behind. Raises DevicesBusy, OSError, ValueError."""
        if job.name not in _STARTED:
            self.stop_leftover(job.directory)
            _STARTED[job.name] = self.start(job.recipe, job.directory)

    def poll(self, job: Job) -> State:
        process = _STARTED.get(job.name)
        if process is None:
            return State(Phase.GONE)
        code = process.poll()
        return State(Phase.RUNNING) if code is None else State(Phase.ENDED, code)

    def cancel(self, job: Job, *, now: bool = False) -> None:
        """End a process and wait for it: this machine's workers leave none behind."""
        if process := _STARTED.pop(job.name, None):
            process.stop(0 if now else settings.TRAINING_STOP_GRACE_SECONDS)

    def unavailable(self) -> str:
        asked = [self.python, "-c", "import importlib.util as u; raise SystemExit(u.find_spec('torch') is None)"]
        try:
            done = subprocess.run(asked, capture_output=True, check=False)
        except OSError as why:
            return f"{self.python} does not start: {why.strerror}"
        return "" if done.returncode == 0 else f"{self.python} has no torch: install prefloop[train], where runs are"

    def log_tail(self, job: Job, characters: int = 4000) -> str:
        return job.directory.log_tail(characters)

    def start(self, recipe: str, directory: RunDir) -> LocalProcess:
        """Start a recipe on GPUs of its own. Raises DevicesBusy where other runs have them, OSError and ValueError."""
        processes = processes_of(directory)
        leased = lease(processes, visible_devices(os.environ), Path(settings.RUN_DIR) / LEASES)
        directory.ended_path.unlink(missing_ok=True)
        try:
            with directory.log_path.open("ab") as log:
                process = self.open_process(recipe, directory, log, leased)
        except OSError:
            leased.release()
            raise
        started = LocalProcess(process, leased, directory if processes > 1 else None)
        try:
            _pid_path(directory).write_text(str(process.pid))
        except OSError:
            started.stop()  # without its id, stop_leftover could not find it
            raise
        return started

    def open_process(
        self, recipe: str, directory: RunDir, log: BinaryIO, leased: Lease | None = None
    ) -> subprocess.Popen[bytes]:
        """Start the recipe in a session of its own, with all that it prints going to `log`; return the process."""
        leased = leased or Lease()
        given = environment_of_recipe(os.environ, directory.config().get("settings", {}))
        return subprocess.Popen(
            self.command(recipe, directory),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=settings.BASE_DIR,
            env={
                **given,
                **leased.environment(),
                SUBMISSION: directory.writer(),
                WORKER: process_sign(os.getpid()),
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "PYTHONUNBUFFERED": "1",
            },
            pass_fds=leased.locks,
            start_new_session=True,  # Ctrl-C reaches the worker, which then stops the recipe in order
        )

    def stop_leftover(self, directory: RunDir) -> None:
        """End a process of an earlier attempt, whose worker died without it."""
        try:
            pid = int(_pid_path(directory).read_text())
        except (FileNotFoundError, ValueError):
            return
        # A process id may belong to another program by now: only one that was started on this very folder is ended.
        if f"{directory.path} " in f"{_command_line(pid).strip()} ":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


EXECUTOR = LocalExecutor()


def _pid_path(directory: RunDir) -> Path:
    return directory.path / "pid"


def _command_line(pid: int) -> str:
    try:
        command = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
        completed = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return completed.stdout
