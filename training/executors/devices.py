"""GPUs of this machine, leased to one run each.

A lease is a lock on a file of its own, held by the worker and by the process that it starts: it ends with the last of
them, however they end. Only runs that this machine's workers start with one lease folder keep out of each other's way.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from django.utils.translation import gettext_noop

from training.executors.base import Waits

VISIBLE = "CUDA_VISIBLE_DEVICES"


class DevicesBusy(Waits):
    """Other runs have the GPUs: this one waits."""


@dataclass
class Lease:
    """GPUs by the names that CUDA_VISIBLE_DEVICES takes, and the open files whose locks keep others away."""

    names: list[str] = field(default_factory=list)
    locks: list[int] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """Return what the run's process finds; nothing on a machine without GPUs."""
        return {VISIBLE: ",".join(self.names)} if self.names else {}

    def release(self) -> None:
        """Give the GPUs back, as far as this process holds them."""
        for lock in self.locks:
            with suppress(OSError):
                os.close(lock)
        self.locks = []


def visible_devices(environment: Mapping[str, str], folder: Path = Path("/dev")) -> list[str]:
    """Return the GPUs that this process may use: those that CUDA_VISIBLE_DEVICES names, else all that there are."""
    if (named := environment.get(VISIBLE)) is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    found = (re.fullmatch(r"nvidia(\d+)", path.name) for path in folder.glob("nvidia*"))
    return sorted((match[1] for match in found if match), key=int)


def lease(count: int, names: list[str], folder: Path) -> Lease:
    """Return a lease of `count` free GPUs out of `names`; an empty one where there are none at all.

    Raises DevicesBusy where fewer are free, and ValueError where there are not that many.
    """
    if not names:
        return Lease()
    if count > len(names):
        raise ValueError(f"the run asks for {count} processes with a GPU each, and this machine has {len(names)}")
    folder.mkdir(parents=True, exist_ok=True)
    leased = Lease()
    for name in names:
        if len(leased.names) == count:
            break
        lock = os.open(folder / f"gpu-{re.sub(r'[^0-9A-Za-z-]', '_', name)}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        leased.names.append(name)
        leased.locks.append(lock)
    if len(leased.names) < count:
        leased.release()
        needed = {"count": count, "all": len(names)}
        raise DevicesBusy(gettext_noop("%(count)s of %(all)s GPUs are needed, and fewer are free") % needed)
    return leased
