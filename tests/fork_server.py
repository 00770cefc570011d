"""Forks programs for the tests, see forked.py: `python -m tests.fork_server SOCKET PID`.

Ends, with all that it has forked, when the test run ends: when its socket or the process PID is gone.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import tomllib
import warnings
from pathlib import Path
from typing import Any

Job = dict[str, Any]


def serve(path: Path, of: int) -> Job | None:
    """Fork a process for each client; return its job in the fork, and None here when the test run is over."""
    woken, waking = socket.socketpair()
    waking.setblocking(False)
    signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    clients: dict[int, socket.socket] = {}  # by the process that was forked for each
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        while path.exists() and _is_alive(of):
            ready, _, _ = select.select([listener, woken, *clients.values()], [], [], 1.0)
            for process, client in clients.items():
                if client in ready:  # it is gone, as it never sends anything more
                    _kill(process)
            _reap(clients)
            if woken in ready:
                woken.recv(4096)
            if listener in ready:
                client, _ = listener.accept()
                with contextlib.suppress(OSError, ValueError):
                    job = _receive(client)
                    if not (process := os.fork()):
                        for inherited in (client, woken, waking, *clients.values()):
                            inherited.close()
                        signal.set_wakeup_fd(-1)
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        return job
                    clients[process] = client
                    for descriptor in job["files"]:
                        os.close(descriptor)
                    client.sendall(struct.pack("!i", process))
    for process in clients:
        _kill(process)
    return None


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _receive(client: socket.socket) -> Job:
    """Return what to run; raises ValueError where the client is gone, or only asked whether this one answers."""
    size, files, _, _ = socket.recv_fds(client, 4, 3)
    if len(size) < 4:
        client.close()
        raise ValueError("no job")
    left, job = int(struct.unpack("!i", size)[0]), b""
    while len(job) < left:
        part = client.recv(left - len(job))
        if not part:
            raise ValueError("half a job")
        job += part
    return {**json.loads(job), "files": files}


def _kill(process: int) -> None:
    for kill in (os.killpg, os.kill):  # at its very beginning it leads no group yet
        with contextlib.suppress(ProcessLookupError):
            kill(process, signal.SIGKILL)


def _reap(clients: dict[int, socket.socket]) -> None:
    """Tell clients whose process has ended its exit code."""
    while clients:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            return
        with clients.pop(process) as client, contextlib.suppress(OSError):
            client.sendall(struct.pack("!i", os.waitstatus_to_exitcode(status)))


def become(job: Job) -> None:
    """Run the module as `python -m module arguments` would, in a session of its own."""
    os.setsid()
    for standard, file in enumerate(job["files"]):
        os.dup2(file, standard)
        os.close(file)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    if os.environ.get("PYTHONUNBUFFERED"):
        sys.stdout.reconfigure(write_through=True)
    warnings.filterwarnings("ignore", message=".*found in sys.modules after import of package", category=RuntimeWarning)
    module, *arguments = job["arguments"]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def preload() -> None:
    """Import what most programs need. A deprecation that our own imports cause is an error here as it is in tests."""
    from _pytest.config import parse_warning_filter

    settings = tomllib.loads(Path(__file__).parent.with_name("pyproject.toml").read_text())
    with warnings.catch_warnings():
        for each in settings["tool"]["pytest"]["ini_options"]["filterwarnings"]:
            if "django" not in each and "pytest" not in each:  # would import them
                warnings.filterwarnings(*parse_warning_filter(each, escape=False))
        import tests.preloaded  # noqa: F401


if __name__ == "__main__":
    preload()
    gc.collect()
    gc.freeze()
    if (found := serve(Path(sys.argv[1]), int(sys.argv[2]))) is not None:
        become(found)
