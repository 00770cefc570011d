"""PostgreSQL and Redis for the time of one command: `python -m tests.services pytest …`.

Both run in a folder of their own and are gone afterwards; nothing that is installed on the machine is touched.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote


def find(command: str) -> str | None:
    """On the path, or where Debian keeps PostgreSQL's own."""
    return shutil.which(command) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{command}"), reverse=True)), None
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until(ready, process: subprocess.Popen[bytes], name: str) -> None:
    for _ in range(1200):
        if ready():
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit(f"{name} did not start (exit code {process.poll()})")


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A fresh cluster on a socket in `folder`; yields its DATABASE_URL. It refuses to run as root, so root lends it."""
    user = None
    if os.geteuid() == 0:
        user = "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"
        shutil.chown(folder, user)
    data = folder / "data"
    initdb, server = find("initdb"), find("postgres")
    assert initdb
    assert server
    subprocess.run(
        [initdb, "--pgdata", str(data), "--username", "prefloop", "--auth", "trust", "--encoding", "UTF8", "--no-sync"],
        check=True,
        stdout=subprocess.DEVNULL,
        user=user,
        cwd=folder,
    )
    process = subprocess.Popen(
        [server, "-D", str(data), "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=user,
        cwd=folder,
    )
    try:
        _wait_until((folder / ".s.PGSQL.5432").exists, process, "PostgreSQL")
        yield f"postgres://prefloop@{quote(str(folder), safe='')}/postgres"
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def redis() -> Iterator[str]:
    port = _free_port()
    command = find("redis-server")
    assert command
    process = subprocess.Popen(
        [command, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    try:
        _wait_until(answers, process, "Redis")
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
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
