"""What executors share whose jobs run on other machines, which see the run directories at the same path."""

from __future__ import annotations

import os
import shlex

from django.conf import settings

from training.executors.base import Executor, Job, processes_of
from training.executors.recipe_environment import environment_of_recipe

JOB_MODULE = "training.recipes.process.remote"
# The other machine knows its own better.
OF_THE_HOST = {
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TEMP", "TMP", "LD_LIBRARY_PATH", "LD_PRELOAD", "VIRTUAL_ENV"),
    *("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
}


class RemoteExecutor(Executor):
    """Gives an engine one command; everything else passes through the folder of the job."""

    watches_minutes = True  # the job ends itself at its time limit: the engine has none

    def prepare(self, job: Job) -> None:
        """Write what the job finds in its folder. Keys are in there, and not in what the engine shows."""
        given = environment_of_recipe(os.environ, job.directory.config().get("settings", {}))
        job.folder.prepare(
            {
                "command": self.command(job.recipe, job.directory),
                "launcher": processes_of(job.directory) > 1,
                "environment": {name: value for name, value in given.items() if name not in OF_THE_HOST}
                | {"HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": _python_path()},
                "grace": settings.TRAINING_STOP_GRACE_SECONDS,
                "minutes": job.resources.minutes if self.watches_minutes else 0,
            }
        )

    def job_command(self, job: Job) -> str:
        """Return the shell command that runs a job, in the folder of the program."""
        return shlex.join([self.python, "-m", JOB_MODULE, str(job.directory.path), job.submission])


def _python_path() -> str:
    """Return the search path of Python: the program's own folder, then what the worker has."""
    return os.pathsep.join(filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")]))
