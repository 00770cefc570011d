"""What a module of this package says about its executor: `EXECUTOR`, an instance of a subclass of Executor."""

from __future__ import annotations

from typing import Protocol

from training.rundir import RunDir


class Process(Protocol):
    def poll(self) -> int | None:
        """Return the exit code (negative: killed by that signal), or None while the process runs."""

    def stop(self, grace_seconds: float = 10) -> None:
        """Ask the process to end, wait, then end it."""


class Executor:
    """Where a run's process runs. The run directory is the whole interface: an executor only starts and stops."""

    name: str  # value of PREFLOOP_EXECUTOR
    order: int = 1000  # place in lists

    def start(self, recipe: str, directory: RunDir) -> Process:
        """Start a recipe on a prepared run directory; return its process. Raises OSError where it cannot start."""
        raise NotImplementedError

    def stop_leftover(self, directory: RunDir) -> None:
        """End a process of an earlier attempt, whose worker died without it."""
        raise NotImplementedError
