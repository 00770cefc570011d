"""Where the processes of runs run. The setting PREFLOOP_EXECUTOR names the executor of runs that name none.

To add an executor: a module here with `EXECUTOR`, one test file. An installed package adds one with an entry point of
the group `prefloop.executors` that names its `EXECUTOR`.
"""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from training.executors.base import (
    RESOURCES,
    EngineAway,
    Executor,
    Job,
    Phase,
    Resources,
    State,
    Waits,
)
from training.plugins import Registry

__all__ = [
    "EXECUTORS",
    "RESOURCES",
    "EngineAway",
    "Executor",
    "Job",
    "Phase",
    "Resources",
    "State",
    "Waits",
    "configured_executor",
]

EXECUTORS = Registry("training.executors", "EXECUTOR", Executor, "prefloop.executors")


def configured_executor() -> Executor:
    """Return the executor that PREFLOOP_EXECUTOR names. Raises ImproperlyConfigured with the known names."""
    name: str = settings.TRAINING_EXECUTOR
    if name not in EXECUTORS:
        raise ImproperlyConfigured(
            f"PREFLOOP_EXECUTOR is {name!r}; executors that are installed: {', '.join(EXECUTORS)}."
        )
    return EXECUTORS[name]
