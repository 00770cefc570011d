"""Signs of life that workers give, for `/ready/`."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

from annotation import clock
from training.models import WorkerSign

FORGOTTEN_AFTER = timedelta(days=1)


def give_sign() -> None:
    """Record that this process's worker is alive; delete workers without a sign for a day."""
    now = clock.now()
    WorkerSign.objects.update_or_create(name=f"{socket.gethostname()}:{os.getpid()}"[:255], defaults={"seen_at": now})
    WorkerSign.objects.filter(seen_at__lt=now - FORGOTTEN_AFTER).delete()
