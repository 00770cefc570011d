"""Getting a base model ready, in a process of its own: this side has no torch."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

from annotation.errors import NotPossible
from training.actions import preparations
from training.actions.preparations import checkpoint_of
from training.executors.recipe_environment import environment_of_download
from training.models import Preparation
from training.rundir import PHASE

logger = logging.getLogger(__name__)
PERCENT = re.compile(r"\b(\d{1,3})%\|")  # of a progress bar by tqdm
CLOCK = re.compile(r"^\d\d:\d\d:\d\d ")
LOOK_EVERY_SECONDS = 0.5
REPORT_EVERY_SECONDS = 5.0  # also where nothing is new: it is the heartbeat
LINES_KEPT = 40
KILL_AFTER_SECONDS = 10


class Output:
    """What the process of a preparation has printed: its phase, the percentage of it, the last lines."""

    def __init__(self) -> None:
        self.phase, self.percent = "", None
        self.lines: deque[str] = deque(maxlen=LINES_KEPT)

    phase: str
    percent: int | None

    def read(self, line: str) -> None:
        """Take in one line."""
        text = CLOCK.sub("", line.strip())
        if text.startswith(PHASE):
            self.phase, self.percent = text.removeprefix(PHASE), None
        elif found := PERCENT.search(text):
            self.percent = min(int(found[1]), 100)
        elif text:
            self.lines.append(text)

    @property
    def problem(self) -> str:
        """Return the last line, without what only a log needs."""
        return self.lines[-1].removeprefix("error: ") if self.lines else "The process ended without a word."


def prepare_model(model: str, *, say: Callable[[str], object]) -> Path:
    """Convert and cache the checkpoint of a model unless it exists; pass the process's output to `say`."""
    process, output = _start(model), Output()
    assert process.stdout is not None
    for line in process.stdout:
        output.read(line)
        say(line.rstrip())
    if process.wait() != 0:
        raise NotPossible(f"{model} could not be prepared: {output.problem}")
    return checkpoint_of(model)


def prepare_next(stopping: threading.Event) -> bool:
    """Prepare one model that waits, from start to end; return False where none does.

    Once `stopping` is set, the process is ended and the preparation goes back into the queue.
    """
    preparation = preparations.claim()
    if preparation is None:
        return False
    logger.info("Preparing %s for %s", preparation.model, preparation.project)
    process, output = _start(preparation.model), Output()
    reader = threading.Thread(target=_read, args=[process, output], daemon=True)
    reader.start()
    try:
        wanted = _follow(preparation, process, output, stopping)
    finally:
        _end(process)
        reader.join(KILL_AFTER_SECONDS)
    if not wanted:
        preparations.put_back(preparation)
    elif process.returncode == 0:
        preparations.finish(preparation)
    else:
        preparations.fail(preparation, output.problem)
    logger.info("%s: exit code %s", preparation.model, process.returncode)
    return True


def _follow(
    preparation: Preparation, process: subprocess.Popen[str], output: Output, stopping: threading.Event
) -> bool:
    """Report progress until the process ends; return False where the worker stops or the model is not wanted now."""
    said: tuple[str, int | None] = ("", None)
    at = 0.0
    while process.poll() is None:
        now = (output.phase, output.percent)
        if now != said or time.monotonic() - at > REPORT_EVERY_SECONDS:
            if not preparations.report(preparation, phase=now[0], percent=now[1]):
                return False
            said, at = now, time.monotonic()
        if stopping.wait(LOOK_EVERY_SECONDS):
            return False
    return True


def _read(process: subprocess.Popen[str], output: Output) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        output.read(line)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(KILL_AFTER_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _start(model: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "training.recipes.prepare", model, str(checkpoint_of(model))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=settings.BASE_DIR,
        # Progress bars become a line every few seconds, and are printed although nobody sees a terminal.
        env={**environment_of_download(os.environ), "TQDM_MININTERVAL": "2", "TQDM_POSITION": "-1"},
    )
