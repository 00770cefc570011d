"""The job that an engine runs: `python -m training.recipes.process.remote RUN_DIR SUBMISSION`.

It starts the recipe as its own process, says every second that it is alive, ends the recipe when it is asked to, and
writes last of all how it ended. It needs no more than the standard library; the files are those of training/jobdir.py.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.jobdir import BEAT_SECONDS, BY_ENGINE, JOB_CLOSED, OVERTAKEN, STOPPED, TIME_LIMIT, JobDir
from training.rundir import SUBMISSION, WORKER, RunDir, process_sign

SIGNALS_SECONDS = 0.5


class _Asked:
    """What this process was asked for by signals."""

    def __init__(self) -> None:
        self.why = ""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._note())

    def _note(self) -> None:
        self.why = self.why or BY_ENGINE


def main(run_path: str, submission: str) -> int:
    """Run the job of a submission to its end; return the exit code for the engine."""
    asked = _Asked()
    job_dir, run = JobDir(run_path, submission), RunDir(run_path)
    job = job_dir.job()
    if job is None:
        _say(f"{job_dir.path}/job.json is missing: does this host see the folder of the runs at the same path?")
        return JOB_CLOSED
    if not job_dir.take():
        _say("Another process runs this job already.")
        return JOB_CLOSED
    job_dir.forget_keys()
    if job_dir.is_stopping() or run.writer() != submission:
        _say("The job was stopped, or another attempt took its place, before it began.")
        job_dir.write("exit.json", {"code": -signal.SIGTERM, "why": STOPPED})
        return JOB_CLOSED
    job_dir.write("beat.json", {"beat": 1, "host": platform.node(), "pid": os.getpid()})
    run.ended_path.unlink(missing_ok=True)
    try:
        with run.log_path.open("ab") as log:
            process = subprocess.Popen(
                job["command"],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=_environment(job["environment"], submission),
                start_new_session=True,
            )
    except OSError as problem:
        _say(f"Could not start {job['command'][0]}: {problem}")
        job_dir.write("exit.json", {"code": 1, "why": f"Could not start {job['command'][0]}: {problem}"})
        return 1
    why = _follow(process, job_dir, run, asked, job)
    code = process.wait()
    if code == 1 and job.get("launcher") and not run.ended_path.exists():
        code = -signal.SIGKILL  # of a launcher: a process of it was killed
    with contextlib.suppress(OSError):  # the folder may be gone with its project
        job_dir.write("exit.json", {"code": code, "why": why})
    return code if code >= 0 else 128 - code


def _follow(
    process: subprocess.Popen[bytes], job_dir: JobDir, run: RunDir, asked: _Asked, job: Mapping[str, Any]
) -> str:
    """Beat until the process ends; return why it was ended, empty where it ended by itself."""
    began, beats, beaten_at = time.monotonic(), 1, time.monotonic()
    limit = 60.0 * float(job.get("minutes") or 0)
    stopped_at: float | None = None
    why = ""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            if process.wait(0.1) < 0 and not why:
                time.sleep(SIGNALS_SECONDS)  # an engine sends its signal to the recipe as well
            return why or asked.why
        now = time.monotonic()
        if now - beaten_at >= BEAT_SECONDS:
            beats, beaten_at = beats + 1, now
            with contextlib.suppress(OSError):
                job_dir.write("beat.json", {"beat": beats, "host": platform.node(), "pid": os.getpid()})
            why = why or asked.why or _reason_to_stop(job_dir, run)
        why = why or asked.why or (TIME_LIMIT if limit and now - began > limit else "")
        if why and stopped_at is None:
            stopped_at = now
            _signal(process, signal.SIGTERM)
        if stopped_at is not None and now - stopped_at > float(job["grace"]):
            _signal(process, signal.SIGKILL)


def _reason_to_stop(job_dir: JobDir, run: RunDir) -> str:
    if job_dir.is_stopping() or not job_dir.path.exists():
        return STOPPED
    return OVERTAKEN if run.writer() not in ("", job_dir.submission) else ""


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _environment(given: Mapping[str, str], submission: str) -> dict[str, str]:
    """Return this host's environment with what the worker gave; the recipe's processes end with this one."""
    return {**os.environ, **given, SUBMISSION: submission, WORKER: process_sign(os.getpid())}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: python -m training.recipes.process.remote RUN_DIR SUBMISSION")
    sys.exit(main(str(Path(sys.argv[1])), sys.argv[2]))
