"""An executor as an installed package would bring it: runs on this machine, with a note in the run directory."""

from __future__ import annotations

from training.rundir import RunDir
from training.worker.executors.base import Executor, Process
from training.worker.executors.local import LocalExecutor


class NotedExecutor(Executor):
    name = "noted"

    def start(self, recipe: str, directory: RunDir) -> Process:
        (directory.path / "noted").write_text(recipe)
        return LocalExecutor().start(recipe, directory)

    def stop_leftover(self, directory: RunDir) -> None:
        LocalExecutor().stop_leftover(directory)


EXECUTOR = NotedExecutor()
