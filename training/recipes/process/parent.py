"""Ending together with the process that started this one."""

from __future__ import annotations

import os
import signal
import threading
import time

from training.rundir import WORKER, process_sign

PARENT_POLL_SECONDS = 1.0
DYING_SECONDS = 5.0


def die_with_parent() -> None:
    """End this process when the one that started it is gone: a killed worker must leave no orphan at the same files.

    A process of several has torch's launcher for a parent, which outlives a killed worker: it looks for that one, too.

    Set RECIPE_OUTLIVES_PARENT=1 to start a recipe by hand and log out.
    """
    if os.environ.get("RECIPE_OUTLIVES_PARENT") == "1":
        return
    parent, worker = os.getppid(), os.environ.get(WORKER, "")

    def watch() -> None:
        while os.getppid() == parent and (not worker or process_sign(int(worker.split(":")[0])) == worker):
            time.sleep(PARENT_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        # A long tensor operation holds back the Python signal handler; do not wait for it for ever.
        time.sleep(DYING_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
