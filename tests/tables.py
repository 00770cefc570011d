"""Tables of an empty database, made once for all tests: all migrations take 3 s, a copy of their result none.

What is kept lies in the user's temporary folder under a name that changes with each migration, so that the next test
run finds it, too.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import inspect
import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import django
import psycopg
from django.apps import apps
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
KEPT_SECONDS = 7 * 24 * 3600


@functools.cache
def sqlite_tables() -> Path:
    """Return a SQLite file that holds the tables of all migrations and no rows of ours."""
    folder = _folder()
    file = folder / f"{_fingerprint()}.sqlite3"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            _forget_old(folder)
            unfinished = folder / "unfinished.sqlite3"
            for half in folder.glob("unfinished.*"):
                half.unlink()
            _migrate(f"sqlite:///{unfinished}")
            unfinished.rename(file)
    return file


def _forget_old(folder: Path) -> None:
    """Delete what no run of today's checkouts has made; another checkout may need the others at this moment."""
    for old in folder.glob("*.sqlite3"):
        if old.stat().st_mtime < time.time() - KEPT_SECONDS:
            old.unlink()


def postgresql_tables(url: str) -> str:
    """Return the name of a database, on the server of `url`, that holds the tables of all migrations and no rows."""
    name = f"tables_{_fingerprint()}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtext('prefloop tables'))")  # until the connection closes
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            unfinished = f"{name}_unfinished"
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(unfinished)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unfinished)))
            address, _, options = url.partition("?")
            _migrate(f"{address.rpartition('/')[0]}/{unfinished}" + (f"?{options}" if options else ""))
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            connection.execute(rename.format(sql.Identifier(unfinished), sql.Identifier(name)))
    return name


def _migrate(url: str) -> None:
    with tempfile.TemporaryDirectory(prefix="prefloop-tables-") as home:
        environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
        environment |= {"DATABASE_URL": url, "PREFLOOP_HOME": home, "DJANGO_SETTINGS_MODULE": "frontend.settings"}
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)


def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"prefloop-tests-tables-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} belongs to someone else or is open to others: delete it")
    return folder


@functools.cache
def _fingerprint() -> str:
    """Return a digest of all that decides what the migrations make: Django's version and each migration's text."""
    digest = hashlib.sha256(django.__version__.encode())
    for configuration in apps.get_app_configs():
        for file in sorted(Path(inspect.getfile(configuration.module)).parent.glob("migrations/*.py")):
            digest.update(f"{configuration.label}/{file.name}".encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
