"""Engines that the tests of executors run on, each with the faults that it can be given."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import unittest.mock
import urllib.request
from pathlib import Path
from typing import Any

from tests import ray_cluster
from tests.slurm import Cluster
from tests.training.conftest import BEGIN
from training.executors.base import EngineAway, Executor, Job, State
from training.executors.local import LocalExecutor
from training.executors.ray import RayExecutor
from training.executors.slurm import SlurmExecutor
from training.rundir import RunDir


class Scripted(Executor):
    """Real jobs with a few lines of Python in place of a recipe."""

    script = ""

    def command(self, recipe: str, directory: RunDir) -> list[str]:
        return [sys.executable, "-c", BEGIN + self.script, str(directory.path)]


class ScriptedLocal(Scripted, LocalExecutor):
    pass


class ScriptedSlurm(Scripted, SlurmExecutor):
    pass


class ScriptedRay(Scripted, RayExecutor):
    pass


class Engine:
    """What a test may do to an engine. A fault that it cannot have is None in `faults`."""

    name: str
    executor: type[Scripted]
    pending: dict[str, Any] | None = None  # resources with which a job waits for ever
    seconds = 60.0  # within which what a test waits for has to happen
    stops_waiting = True  # a job that has not begun is taken out of the queue when it is cancelled
    refused: tuple[dict[str, Any], str] | None = None  # resources that it refuses, and a word of its reason

    def kill_node(self, job: Job) -> None:
        """End the node that the job runs on, with all its processes."""
        raise NotImplementedError

    def repair(self) -> None:
        """Undo what a test has done."""

    def jobs(self, job: Job) -> int:
        """Return how many jobs of this name the engine has seen."""
        raise NotImplementedError


class Local(Engine):
    name = "local"
    executor = ScriptedLocal

    def kill_node(self, job: Job) -> None:
        os.killpg(int((job.directory.path / "pid").read_text()), signal.SIGKILL)


class Slurm(Engine):
    name = "slurm"
    executor = ScriptedSlurm
    pending = {"partition": "closed"}
    refused = ({"partition": "nowhere"}, "invalid partition")

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.node_is_up = self.controller_is_up = True

    def kill_node(self, job: Job) -> None:
        self.cluster.kill_node()
        self.node_is_up = False

    def kill_head(self) -> None:
        self.cluster.kill("slurmctld")
        self.controller_is_up = False

    def repair(self) -> None:
        if not self.controller_is_up:
            self.cluster.restart_controller()
        if not self.node_is_up:
            self.cluster.start_node()
        self.controller_is_up = self.node_is_up = True
        self.cluster.wait_for_node()

    def jobs(self, job: Job) -> int:
        shown = self.cluster.ask("squeue", f"--name={job.name}", "--states=all", "-h", "-o", "%A").stdout
        return len(set(shown.split()))

    def submit_blindly(self, executor: Executor, job: Job) -> None:
        """Submit a job again although it is there, as two workers at once would."""
        with unittest.mock.patch.object(executor, "_ids", return_value=[]):
            executor.submit(job)

    def suspend(self, job: Job) -> None:
        """Have Slurm stop the processes of a job."""
        self._control("suspend", job)

    def resume(self, job: Job) -> None:
        self._control("resume", job)

    def _control(self, what: str, job: Job) -> None:
        number = self.cluster.ask("squeue", f"--name={job.name}", "-h", "-o", "%A").stdout.strip()
        done = self.cluster.ask("scontrol", what, number)
        assert done.returncode == 0, done.stderr

    def preempt(self, script: Path) -> None:
        """Submit a job with a higher priority that needs the whole node for a moment."""
        options = ["--partition=high", "--cpus-per-task=4", "--output=/dev/null"]
        done = self.cluster.ask("sbatch", *options, "--wrap", f"touch {script}")
        assert done.returncode == 0, done.stderr


class Ray(Engine):
    name = "ray"
    executor = ScriptedRay
    seconds = 240.0
    pending = {"partition": "nowhere"}
    stops_waiting = False  # ray issue 58353

    def __init__(self, cluster: ray_cluster.Cluster) -> None:
        self.cluster = cluster
        self.node_is_up = self.head_is_up = True

    def kill_node(self, job: Job) -> None:
        self.cluster.kill("node")
        self.node_is_up = False

    def kill_head(self) -> None:
        self.cluster.kill("head")
        self.head_is_up = False

    def repair(self) -> None:
        if not self.head_is_up:
            if self.node_is_up:
                self.cluster.kill("node")
            self.cluster.start_head()
        if not (self.head_is_up and self.node_is_up):
            self.cluster.start_node()
        self.head_is_up = self.node_is_up = True

    def jobs(self, job: Job) -> int:
        with urllib.request.urlopen(f"{self.cluster.address}/api/jobs/") as answer:
            return sum(each["submission_id"] == job.name for each in json.load(answer))

    def submit_blindly(self, executor: Executor, job: Job) -> None:
        executor.submit(job)  # it asks nothing before


def loses_the_answer(executor: Executor) -> list[str]:
    """Have the executor submit, and lose the engine's answer the first time; return what is noted of it."""
    submit, noted = executor.submit, []

    def submitted(job: Job) -> None:
        submit(job)
        if not noted:
            noted.append(job.submission)
            raise EngineAway("the connection was cut")

    executor.submit = submitted  # type: ignore[method-assign]
    return noted


def state_of(executor: Executor, job: Job) -> State:
    with contextlib.suppress(EngineAway):
        return executor.poll(job)
    raise AssertionError("poll() says UNKNOWN, and raises nothing")
