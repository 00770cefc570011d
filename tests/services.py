"""PostgreSQL and Redis for the time of one command: `python -m tests.services pytest …`.

Both run in a folder of their own and are gone afterwards; nothing that is installed on the machine is touched.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import quote

from tests.programs import NotStarted, free_port, wait_until


def find(command: str) -> str | None:
    """On the path, or where Debian keeps PostgreSQL's own."""
    return shutil.which(command) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{command}"), reverse=True)), None
    )


def _said(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A fresh cluster on a socket in `folder`; yields its DATABASE_URL."""
    make_cluster(folder)
    with running_cluster(folder) as url:
        yield url


def owner_of_clusters() -> str | None:
    """The account that PostgreSQL runs under where root starts it: it refuses to run as root."""
    if os.geteuid():
        return None
    return "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"


def make_cluster(folder: Path) -> None:
    user, initdb = owner_of_clusters(), find("initdb")
    assert initdb
    if user:
        shutil.chown(folder, user)
    subprocess.run(
        [initdb, "--pgdata", "data", "--username", "prefloop", "--auth", "trust", "--encoding", "UTF8", "--no-sync"],
        check=True,
        stdout=subprocess.DEVNULL,
        user=user,
        cwd=folder,
    )


@contextlib.contextmanager
def running_cluster(folder: Path, *, stop: signal.Signals = signal.SIGTERM) -> Iterator[str]:
    """A server on the cluster of `folder`; SIGQUIT stops it as a crash does, whoever is connected."""
    server = find("postgres")
    assert server
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [server, "-D", str(folder / "data"), "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"],
            stdout=log,
            stderr=subprocess.STDOUT,
            user=owner_of_clusters(),
            cwd=folder,
        )
        try:
            asking = [find("pg_isready") or "pg_isready", "--quiet", "--host", str(folder)]  # a crash leaves its socket
            wait_until(
                lambda: subprocess.run(asking, check=False).returncode == 0, process, "PostgreSQL", lambda: _said(log)
            )
            yield f"postgres://prefloop@{quote(str(folder), safe='')}/postgres"
        finally:
            process.send_signal(stop)
            process.wait(30)


@contextlib.contextmanager
def redis() -> Iterator[str]:
    port = free_port()
    command = find("redis-server")
    assert command
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [command, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            stdout=log,
            stderr=subprocess.STDOUT,
        )

        def answers() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
            return False

        try:
            wait_until(answers, process, "Redis", lambda: _said(log))
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(30)


def main() -> int:
    missing = [name for name in ("initdb", "postgres", "redis-server") if find(name) is None]
    if missing:
        print(f"Not run on PostgreSQL and Redis: {', '.join(missing)} not found", file=sys.stderr)  # noqa: T201
        return 1 if os.environ.get("CI") == "true" else 0
    folder = Path(tempfile.mkdtemp(prefix="prefloop-services-"))
    try:
        with postgres(folder) as database_url, redis() as redis_url:
            environment = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
            return subprocess.run(sys.argv[1:], env=environment, check=False).returncode
    except NotStarted as why:
        print(why, file=sys.stderr)  # noqa: T201
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
