"""What a module of this package says about its executor: `EXECUTOR`, an instance of a subclass of Executor."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any, NamedTuple

from django.conf import settings
from django.utils.functional import Promise

from training.jobdir import JobDir
from training.methods.base import module_of
from training.rundir import RunDir

StrOrPromise = str | Promise


class Waits(Exception):
    """The job cannot be submitted now, but may be later: the run goes back into the queue, and no attempt counts."""


class EngineAway(Waits):
    """The engine does not answer. What was asked of it may have been done all the same."""


@dataclass(frozen=True)
class Resources:
    """What a job asks its engine for; 0 and "" leave it to the engine."""

    cpus: int = 0
    gpus: int = 0
    memory_gb: float = 0
    minutes: int = 0  # after which it is ended; the next attempt goes on from its last state
    partition: str = ""
    image: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return those that are asked for."""
        return {name: value for name, value in asdict(self).items() if value}


RESOURCES = tuple(field.name for field in fields(Resources))


@dataclass(frozen=True)
class Job:
    """A recipe on a prepared run directory. `submission` names it: two jobs with one name are the same job."""

    run: str  # the number of the run, for people who look at the engine's list
    submission: str
    recipe: str
    directory: RunDir
    resources: Resources = Resources()

    @property
    def name(self) -> str:
        return f"prefloop-{self.run}-{self.submission}"

    @property
    def folder(self) -> JobDir:
        return JobDir(self.directory.path, self.submission)


class Phase(Enum):
    WAITING = "waiting"  # it has not begun, or is suspended
    RUNNING = "running"
    ENDED = "ended"
    GONE = "gone"  # the engine knows no such job
    UNKNOWN = "unknown"  # the engine does not answer


class State(NamedTuple):
    """What an engine says of a job: it helps to notice an end early, and our own signs of life decide."""

    phase: Phase
    exit_code: int | None = None  # negative: ended by that signal; None: not known
    why: str = ""  # in the engine's words
    interrupted: bool = False  # at its time limit, or for a job with a higher priority


class Executor:
    """Where a run's process runs. The run directory is the whole interface: an executor only starts and stops."""

    name: str  # in settings, forms and the API
    order: int = 1000  # place in lists
    label: StrOrPromise = ""  # see `title`
    takes: frozenset[str] = frozenset()  # the fields of Resources that it understands
    outlives_worker: bool = True  # its jobs go on while no worker runs, and the next worker follows them

    @property
    def title(self) -> str:
        """Return what pages call it: its label, or its name where it has none."""
        return str(self.label or self.name)

    def submit(self, job: Job) -> None:
        """Start a job, unless one of its name was started already.

        Raises Waits where it cannot start now, ValueError (with the engine's words) and OSError where it never can.
        """
        raise NotImplementedError

    def poll(self, job: Job) -> State:
        """Return what the engine says of a job; UNKNOWN where it does not answer."""
        raise NotImplementedError

    def cancel(self, job: Job, *, now: bool = False) -> None:
        """Ask the engine to end a job, with its grace or at once; without effect where there is none of that name.

        Raises EngineAway.
        """
        raise NotImplementedError

    def unavailable(self) -> str:
        """Return why it would take no job now, empty where it would; nothing is submitted."""
        return ""

    def log_tail(self, job: Job, characters: int = 4000) -> str:
        """Return the end of what a job printed beside its recipe, never reading the whole."""
        return job.folder.output_tail(characters)

    def command(self, recipe: str, directory: RunDir) -> list[str]:
        """Return the command of a run: the recipe, through torch's launcher where the run has several processes."""
        module = ["-m", module_of(recipe), str(directory.path)]
        processes = processes_of(directory)
        if processes == 1:
            return [self.python, *module]
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        return [self.python, *launcher, *module]

    @property
    def python(self) -> str:
        """Return the Python that has the recipes, where a job runs."""
        return settings.RECIPE_PYTHON or sys.executable


def processes_of(directory: RunDir) -> int:
    """Return the number of processes that a run's settings ask for, each with a GPU of its own where there are any."""
    return int(directory.config().get("settings", {}).get("processes", 1))
