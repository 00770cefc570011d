"""An executor that submits jobs to Slurm by its own commands: sbatch, squeue, scontrol, scancel.

A job is found by its name, which nobody else's job has. Slurm never starts a job again by itself: the next attempt is
ours. Accounting (slurmdbd) is not needed; where the controller has forgotten a job, its folder says how it ended.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess

from django.conf import settings
from django.utils.translation import gettext_noop

from training.executors._remote import RemoteExecutor
from training.executors.base import EngineAway, Job, Phase, State

COMMAND_SECONDS = 30.0
AWAY = re.compile(r"contact slurm controller|timed out|connection refused|zero bytes|not responding|backup mode", re.I)
ALREADY_OVER = re.compile(r"invalid job id|already completing|already completed|no active jobs", re.I)
WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
SUSPENDED = {"SUSPENDED", "STOPPED"}  # its processes have got SIGSTOP, by an administrator or for another job
RUNNING = {"RUNNING", "COMPLETING", "SIGNALING", "STAGE_OUT", "RESIZING"}
IN_WORDS = {
    "TIMEOUT": "it reached its time limit",
    "DEADLINE": "it reached its deadline",
    "PREEMPTED": "it gave way to a job with a higher priority",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not start",
    "OUT_OF_MEMORY": "it used more memory than it had asked for",
    "CANCELLED": "it was cancelled",
}
# What sbatch takes from the environment of the worker: whose budget, which quality of service and nodes jobs have.
OF_SITE = ("SBATCH_ACCOUNT", "SBATCH_QOS", "SBATCH_RESERVATION", "SBATCH_CONSTRAINT", "SBATCH_PARTITION")
INTERRUPTED = {"TIMEOUT", "DEADLINE", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL"}


class SlurmExecutor(RemoteExecutor):
    """Submits the command of a job with sbatch, on a cluster that sees the run directories at the same path."""

    name = "slurm"
    label = "Slurm"
    order = 10
    watches_minutes = False  # Slurm does
    takes = frozenset({"cpus", "gpus", "memory_gb", "minutes", "partition", "image"})

    def submit(self, job: Job) -> None:
        if self._ids(job):
            return  # the answer to an earlier submit was lost
        self.prepare(job)
        done = self._call("sbatch", *self._options(job), given=f"#!/bin/sh\nexec {self._contained(job)}\n")
        if done.returncode != 0:
            raise ValueError(done.stderr.strip().removeprefix("sbatch: error: ") or "sbatch failed without a word")

    def poll(self, job: Job) -> State:
        try:
            ids = self._ids(job)
            if not ids:
                return State(Phase.GONE)
            return self._state(ids[-1])
        except (EngineAway, OSError, ValueError) as away:  # also without Slurm's commands: the job goes on without us
            return State(Phase.UNKNOWN, why=str(away))

    def cancel(self, job: Job, *, now: bool = False) -> None:
        """Ask a job to end. One that has begun ends its recipe by itself, within the grace; `now` leaves no grace."""
        try:
            self._cancel(job, now=now)
        except (OSError, ValueError) as problem:
            raise EngineAway(str(problem)) from problem

    def _cancel(self, job: Job, *, now: bool) -> None:
        if not self._ids(job):
            return
        by_name = [f"--name={job.name}", "--me"]
        calls = [[]] if now else [["--state=PENDING"], ["--state=RUNNING", "--batch", "--signal=TERM"]]
        for options in calls:
            done = self._call("scancel", *by_name, *options)
            if done.returncode != 0 and not ALREADY_OVER.search(done.stderr):
                raise EngineAway(done.stderr.strip())

    def unavailable(self) -> str:
        missing = [name for name in ("sbatch", "squeue", "scontrol", "scancel") if shutil.which(name) is None]
        if missing:
            return f"{', '.join(missing)}: not installed on this machine"
        try:
            done = self._call("scontrol", "ping")
        except (EngineAway, OSError) as away:
            return str(away)
        return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()

    def _options(self, job: Job) -> list[str]:
        asked = job.resources
        job.folder.path.mkdir(parents=True, exist_ok=True)
        options = [
            f"--job-name={job.name}",
            "--parsable",
            "--no-requeue",
            "--open-mode=append",
            f"--chdir={settings.BASE_DIR}",
            f"--output={job.folder.output_path}",
        ]
        if asked.cpus:
            options.append(f"--cpus-per-task={asked.cpus}")
        if asked.gpus:
            options.append(f"--gres=gpu:{asked.gpus}")
        if asked.memory_gb:
            options.append(f"--mem={round(asked.memory_gb * 1024)}M")
        if asked.minutes:
            # The recipe is asked to stop before the limit: Slurm's own time between the two is the cluster's matter.
            grace = min(int(settings.TRAINING_STOP_GRACE_SECONDS), 60 * asked.minutes // 2)
            options += [f"--time={asked.minutes}", f"--signal=B:TERM@{max(grace, 1)}"]
        if asked.partition:
            options.append(f"--partition={asked.partition}")
        return options

    def _contained(self, job: Job) -> str:
        """Return the command of a job, in its container image where it names one."""
        command = self.job_command(job)
        if not job.resources.image:
            return command
        if "{image}" not in settings.SLURM_CONTAINER:
            raise ValueError("an image needs PREFLOOP_SLURM_CONTAINER, such as: apptainer exec --nv {image}")
        return f"{settings.SLURM_CONTAINER.replace('{image}', shlex.quote(job.resources.image))} {command}"

    def _ids(self, job: Job) -> list[str]:
        """Return the numbers of the jobs of this name that the controller knows, the oldest first."""
        wanted = [f"--name={job.name}", "--me", "--states=all", "--noheader", "--format=%A"]
        done = self._call("squeue", *wanted)
        if done.returncode != 0:
            raise EngineAway(done.stderr.strip())
        return sorted(set(done.stdout.split()), key=int)

    def _state(self, number: str) -> State:
        done = self._call("scontrol", "show", "job", "--oneliner", number)
        if done.returncode != 0:
            if ALREADY_OVER.search(done.stderr):
                return State(Phase.GONE)
            raise EngineAway(done.stderr.strip())
        return state_of(dict(pair.partition("=")[::2] for pair in done.stdout.split()))

    def _call(self, *command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command of Slurm. Raises EngineAway where its controller does not answer, OSError without Slurm."""
        # Without our keys: what a job has in its environment, an administrator of the cluster can read.
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "HOME", "USER", "LOGNAME", "LANG", "SLURM_CONF", *OF_SITE) or name.startswith("LC_")
        }
        try:
            done = subprocess.run(
                command,
                input=given,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            text = gettext_noop("%(command)s did not end within %(seconds)s s")
            raise EngineAway(text % {"command": command[0], "seconds": f"{COMMAND_SECONDS:.0f}"}) from late
        except FileNotFoundError as missing:
            text = gettext_noop("%(command)s is not installed on the worker’s machine")
            raise OSError(text % {"command": command[0]}) from missing
        if done.returncode != 0 and AWAY.search(done.stderr):
            raise EngineAway(done.stderr.strip().splitlines()[-1].removeprefix(f"{command[0]}: error: "))
        return done


def state_of(shown: dict[str, str]) -> State:
    """Return the state of what `scontrol show job` says."""
    name = shown.get("JobState", "")
    reason = shown.get("Reason", "None")
    if name in WAITING:
        return State(Phase.WAITING, why="" if reason == "None" else reason)
    if name in SUSPENDED:
        return State(Phase.WAITING, why=gettext_noop("it is suspended"))
    if name in RUNNING:
        return State(Phase.RUNNING)
    code, _, number = shown.get("ExitCode", "0:0").partition(":")
    known = name in ("COMPLETED", "FAILED")
    exit_code = (-int(number) if int(number or 0) else int(code)) if known else None
    why = IN_WORDS.get(name, "" if reason == "None" else reason)
    return State(Phase.ENDED, exit_code, why, interrupted=name in INTERRUPTED)


EXECUTOR = SlurmExecutor()
