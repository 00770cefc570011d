"""Why a stage failed, apart from its log."""

from __future__ import annotations

import re
from typing import NamedTuple

from training.models import TrainingRun

# What `training.recipes.process.run` logs last. A launcher of several processes writes which one before each line.
_CAUSE = re.compile(r"^(?:\[\w+\]:)?\d\d:\d\d:\d\d error: (.+)$", re.MULTILINE)


class Failure(NamedTuple):
    """How a stage ended, what its recipe says of it (empty where it broke off), and the end of its log."""

    how: str
    cause: str
    log: str


def failure_of(run: TrainingRun) -> Failure:
    """Return the parts of a run's error, in English."""
    how, _, log = run.error.partition("\n")
    causes = _CAUSE.findall(log)
    return Failure(how, causes[-1] if causes else "", log)
