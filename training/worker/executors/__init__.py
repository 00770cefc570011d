"""Where a run's process runs. The run directory is the whole interface: an executor only starts and stops."""

from __future__ import annotations

from typing import Protocol

from training.rundir import RunDir


class Process(Protocol):
    def poll(self) -> int | None:
        """The exit code (negative: killed by that signal), or None while it runs."""

    def stop(self, grace_seconds: float = 10) -> None:
        """Ask it to end, wait, then end it."""


class Executor(Protocol):
    def start(self, recipe: str, directory: RunDir) -> Process: ...

    def stop_leftover(self, directory: RunDir) -> None:
        """End a process of an earlier attempt, whose worker died without it."""
