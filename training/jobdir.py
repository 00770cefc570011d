"""The folder of a job: what passes between the worker and `training.recipes.process.remote`, which runs a recipe where
an engine, such as Ray or Slurm, puts it.

    jobs/SUBMISSION/job.json   in   command, environment (until the job has begun: it may have keys), seconds it may
                                    take to stop, minutes it may run
                   /stop       in   it is asked to end: noticed even where the engine cannot be reached
                   /taken      out  made by the one process that may run the command: a job that was submitted twice
                                    runs once
                   /beat.json  out  {"beat": 31, "host": ...}: the job is alive as long as the number grows
                   /exit.json  out  {"code": 0, "why": ""}: how the command ended; a negative code is a signal
                   /output.txt out  what the job printed before, or beside, the recipe, whose own goes to log.txt

A job that has exit.json is over, and one whose number stands still is lost, whatever its engine says.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from training.run_files import read_json, read_tail

BEAT_SECONDS = 1.0
JOB_CLOSED = 75  # exit code of a job that was stopped before it began, or that another process runs already
# Why a job was ended, in exit.json.
TIME_LIMIT = "It reached its time limit."
STOPPED = "It was asked to stop."
BY_ENGINE = "Its engine ended it."
OVERTAKEN = "A later attempt writes into its folder."
FROM_OUTSIDE = (TIME_LIMIT, STOPPED, BY_ENGINE, OVERTAKEN)


class JobDir:
    """The folder of one job, in a run directory."""

    def __init__(self, run: str | Path, submission: str) -> None:
        self.run, self.submission = Path(run), submission
        self.path = self.run / "jobs" / submission
        self.output_path = self.path / "output.txt"

    # --- the worker's side -------------------------------------------------------------------------------------

    def prepare(self, job: dict[str, Any]) -> None:
        """Write job.json, for this account alone: its environment may have keys. One that was taken stays as it is."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / "taken").exists():
            self._write_job(job)

    def ask_to_stop(self) -> None:
        """Have the job end, or not begin. Nothing to do where its folder is gone."""
        if self.path.exists():
            (self.path / "stop").touch()
            self.forget_keys()

    def forget_keys(self) -> None:
        """Take the environment out of job.json: the one process that needs it has it, or none will begin any more."""
        if (job := self.job()) is None or "environment" not in job:
            return
        try:
            self._write_job({name: value for name, value in job.items() if name != "environment"})
        except OSError:  # such as a full disk
            (self.path / "job.json").unlink(missing_ok=True)

    def _write_job(self, job: dict[str, Any]) -> None:
        temporary = self.path / "job.tmp"
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(job, file)
        temporary.replace(self.path / "job.json")

    def is_stopping(self) -> bool:
        return (self.path / "stop").exists()

    def beat(self) -> int:
        """Return the number of the last sign of life; 0 before the first."""
        return int((read_json(self.path / "beat.json") or {}).get("beat", 0))

    def ended(self) -> tuple[int, str] | None:
        """Return the exit code of the command and why it was ended, if it was; None while it runs."""
        found = read_json(self.path / "exit.json")
        return (int(found["code"]), str(found.get("why", ""))) if found is not None else None

    def output_tail(self, characters: int) -> str:
        """Return the end of what the job printed."""
        return read_tail(self.output_path, characters)

    # --- the job's side ----------------------------------------------------------------------------------------

    def job(self) -> dict[str, Any] | None:
        return read_json(self.path / "job.json")

    def take(self) -> bool:
        """Return whether this process is the first to run the job."""
        try:
            os.close(os.open(self.path / "taken", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Replace a file of the folder as a whole."""
        temporary = self.path / f"{name}.tmp"
        temporary.write_text(json.dumps(value), "utf-8")
        temporary.replace(self.path / name)
