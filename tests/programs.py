"""Servers of others that tests start: ports for them, waiting until they answer, and the processes below them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path

# Below the ports that systems give to connections (32768 on Linux, 49152 elsewhere) and above those that Ray gives to
# its workers: between looking and starting, nobody but another test takes one, and tests have a lock on each.
PORTS = range(20_000, 32_000)
LOCKS = Path(tempfile.gettempdir()) / f"prefloop-test-ports-{os.geteuid()}"
_given: dict[int, int] = {}  # by port, the open file whose lock keeps other test processes away until this one ends


class NotStarted(Exception):
    """A server ended, or did not answer in time; the message has what it wrote."""


def free_ports(count: int) -> list[int]:
    """Return so many ports of 127.0.0.1 that are free, and that no other test process gets while this one lives."""
    LOCKS.mkdir(mode=0o700, exist_ok=True)
    begin = PORTS.start + os.getpid() * 37 % len(PORTS)  # of processes that begin together each looks elsewhere
    found: list[int] = []
    for port in chain(range(begin, PORTS.stop), range(PORTS.start, begin)):
        if len(found) == count:
            return found
        if port not in _given and _is_ours(port):
            found.append(port)
    raise NotStarted(f"{count} free ports were asked for, and fewer are left of {PORTS}")


def free_port() -> int:
    """Return one of `free_ports`."""
    return free_ports(1)[0]


def _is_ours(port: int) -> bool:
    lock = os.open(LOCKS / str(port), os.O_RDWR | os.O_CREAT, 0o600)
    with contextlib.suppress(OSError), socket.socket() as probe:  # locked by another one, or in use
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, for one that has just ended
        probe.bind(("127.0.0.1", port))
        _given[port] = lock
        return True
    os.close(lock)
    return False


def wait_until(
    ready: Callable[[], bool],
    process: subprocess.Popen[bytes],
    name: str,
    said: Callable[[], str],
    seconds: float = 120,
) -> None:
    """Return once a server is ready. Raises NotStarted where its process ends, or after so many seconds."""
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        if ready():
            return
        time.sleep(0.1)
    raise NotStarted(f"{name} did not start (exit code {process.poll()}). It wrote:\n{said()[-4000:].strip()}")


def descendants(pid: int) -> list[int]:
    """Return the processes below one, the nearest first."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_text().split()):
                found += [child, *descendants(child)]
    return found
