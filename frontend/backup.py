"""A backup of everything that PREFLOOP_HOME and the database hold, taken while people work, and its restoring.

A backup is one tar file: manifest.json, the database, snapshots, runs, models and the secret key. The database comes
first: whatever its rows name was there before they were, so each file that they need follows. Resumable states of
unfinished runs are left out, as they change while they are copied; after a restore such a run begins anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from annotation.durable import put_in_place, sync_below

MANIFEST, SQLITE, POSTGRES = "manifest.json", "database.sqlite3", "database.dump"
FOLDERS = {"snapshots": "SNAPSHOT_DIR", "runs": "RUN_DIR", "models": "MODEL_DIR"}
KEY = "secret_key"
LEFT_OUT = {"state", "state.tmp", "state.old", "checkpoint.tmp", "pid"}
FORMAT = 1
MOST_OF_A_CONFIG = 2**20  # bytes of a JSON file that may name folders


def back_up(target: Path, say: Callable[[str], object]) -> None:
    """Write a backup to a file that its owner alone can read, whole or not at all. Raises CommandError."""
    if target.exists():
        raise CommandError(f"{target} is there already. Name a new file.")
    if not target.parent.is_dir():
        raise CommandError(f"There is no folder {target.parent}.")
    temporary = target.with_name(f"{target.name}.tmp")
    try:
        opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(opened, "wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            _write(tar, say)
        put_in_place(temporary, target)
    except OSError as why:
        raise CommandError(f"The backup was not written: {why}") from why
    finally:
        temporary.unlink(missing_ok=True)
    say(f"{target} holds {target.stat().st_size:,} bytes. It holds everything: keep it where nobody else can read it.")


def _write(tar: tarfile.TarFile, say: Callable[[str], object]) -> None:
    manifest = {
        "format": FORMAT,
        "made_at": timezone.now().isoformat(),
        "database": connection.vendor,
        "migrations": sorted(map(list, MigrationRecorder(connection).applied_migrations())),
        "home": str(settings.HOME),
    }
    _add_bytes(tar, MANIFEST, json.dumps(manifest, indent=1).encode())
    with tempfile.TemporaryDirectory() as folder:
        _add_file(tar, _dumped(Path(folder)), SQLITE if connection.vendor == "sqlite" else POSTGRES)
    for name, setting in FOLDERS.items():
        count = sum(_add_file(tar, path, f"{name}/{inner}") for path, inner in _files(Path(getattr(settings, setting))))
        say(f"{name}: {count} files")
    key = Path(settings.HOME) / KEY
    if key.exists():
        _add_file(tar, key, KEY)


def _dumped(folder: Path) -> Path:
    """Return a file with the database as it is at one moment; others go on writing."""
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        copy = folder / SQLITE
        with contextlib.closing(sqlite3.connect(copy)) as target:
            connection.connection.backup(target, pages=2000)
        return copy
    dump = folder / POSTGRES
    _run_postgres("pg_dump", ["--format", "custom", "--no-owner", "--no-privileges", "--file", str(dump)])
    return dump


def _run_postgres(program: str, options: list[str]) -> None:
    """Run a program of PostgreSQL on the database of the settings; its password is not in its arguments."""
    found = shutil.which(program)
    if found is None:
        raise CommandError(f"{program} is not installed. It comes with PostgreSQL's client programs.")
    given = connection.settings_dict
    variables = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD", "PGDATABASE": "NAME"}
    environment = {name: str(given[key]) for name, key in variables.items() if given.get(key)}
    database = ["--dbname", str(given["NAME"])] if program == "pg_restore" else []
    done = subprocess.run(
        [found, *options, *database], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CommandError(f"{program} failed: {done.stderr.strip()[-1000:]}")


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files below a folder, and their names in it."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        for name in sorted(names):
            path = Path(parent) / name
            if name not in LEFT_OUT and not name.endswith(".tmp") and not path.is_symlink():
                yield path, path.relative_to(folder).as_posix()


def _add_file(tar: tarfile.TarFile, path: Path, name: str) -> bool:
    """Add a file as long as it is now, also where it grows or is replaced meanwhile; False where it has gone."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        info = tarfile.TarInfo(name)
        stat = os.fstat(file.fileno())
        info.size, info.mtime, info.mode = stat.st_size, int(stat.st_mtime), 0o600
        tar.addfile(info, file)
    return True


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    tar.addfile(info, io.BytesIO(content))


def restore(source: Path, say: Callable[[str], object]) -> None:
    """Put a backup into an empty home and an empty database. Raises CommandError, and then changes nothing there."""
    home = Path(settings.HOME)
    _refuse_if_used(home)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=home, prefix="restoring-") as folder:
        unpacked = Path(folder)
        manifest = _unpack(source, unpacked)
        _check_snapshots(unpacked / "snapshots")
        _point_to(unpacked, manifest["home"], str(home))
        _put_database(unpacked)
        for name, setting in FOLDERS.items():
            if (unpacked / name).exists():
                target = Path(getattr(settings, setting))
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.exists():
                    target.rmdir()  # it is empty
                shutil.move(unpacked / name, target)
                sync_below(target)
        if (unpacked / KEY).exists():
            put_in_place(unpacked / KEY, home / KEY)
    _point_rows_to(manifest["home"], str(home))
    call_command("migrate", verbosity=0)
    say(f"Restored into {home} from the backup of {manifest['made_at']}. Unfinished runs begin anew.")


def _refuse_if_used(home: Path) -> None:
    if connection.introspection.table_names():
        raise CommandError(f"The database has tables already. Restore into an empty one and an empty home, not {home}.")
    if connection.vendor == "sqlite":
        connection.close()
        Path(connection.settings_dict["NAME"]).unlink(missing_ok=True)  # the empty one that the look above has made
    used = [Path(getattr(settings, setting)) for setting in FOLDERS.values()]
    for folder in used:
        if folder.exists() and any(folder.iterdir()):
            raise CommandError(f"{folder} is not empty. Restore into an empty home.")


def _unpack(source: Path, folder: Path) -> dict[str, Any]:
    try:
        with tarfile.open(source, "r:") as tar:
            for entry in tar:
                _unpack_file(tar, entry, folder)
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text("utf-8"))
    except FileNotFoundError as why:
        raise CommandError(f"{source} is no backup: {why}") from why
    except (tarfile.TarError, OSError, ValueError, EOFError) as why:
        raise CommandError(f"{source} cannot be read as a backup: {why}") from why
    if manifest.get("format") != FORMAT:
        raise CommandError(f"{source} is of another version of Prefloop (format {manifest.get('format')!r}).")
    if manifest["database"] != connection.vendor:
        raise CommandError(f"The backup is of {manifest['database']}; DATABASE_URL names {connection.vendor}.")
    return manifest


def _unpack_file(tar: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    """Write one file of a backup below the folder. Raises TarError for a link, a device, or a place outside the folder.

    Not `extractall(filter="data")`: Python has it since 3.11.4 only, and a backup holds nothing but plain files.
    """
    parts = PurePosixPath(entry.name).parts
    content = tar.extractfile(entry) if entry.isreg() else None
    if content is None or not parts or parts[0] == "/" or ".." in parts:
        raise tarfile.TarError(f"{entry.name!r} is not a plain file inside the backup.")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    opened = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with content, os.fdopen(opened, "wb") as file:
        shutil.copyfileobj(content, file)


def _check_snapshots(folder: Path) -> None:
    """Raise CommandError where the file of a snapshot is not what its name, a SHA-256, says."""
    for path in folder.glob("*.jsonl") if folder.exists() else ():
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != path.stem:
                raise CommandError(f"The snapshot {path.name} in the backup is not whole.")


def _put_database(unpacked: Path) -> None:
    if connection.vendor == "sqlite":
        target = Path(connection.settings_dict["NAME"])
        with contextlib.closing(sqlite3.connect(unpacked / SQLITE)) as copy:
            if copy.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                raise CommandError("The database in the backup is damaged.")
        target.parent.mkdir(parents=True, exist_ok=True)
        put_in_place(unpacked / SQLITE, target)
    else:
        options = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
        _run_postgres("pg_restore", [*options, str(unpacked / POSTGRES)])


def _point_to(unpacked: Path, old: str, new: str) -> None:
    """Let the configurations of runs and models name the new home, where they name the old one."""
    if old == new:
        return
    before, after = json.dumps(f"{old}/")[1:-1].encode(), json.dumps(f"{new}/")[1:-1].encode()
    for path in unpacked.glob("**/*.json"):
        if path.stat().st_size <= MOST_OF_A_CONFIG and before in (content := path.read_bytes()):
            path.write_bytes(content.replace(before, after))


def _point_rows_to(old: str, new: str) -> None:
    from annotation.models import PolicyVersion
    from training.models import TrainingRun

    if old == new:
        return
    for policy in PolicyVersion.objects.filter(checkpoint__startswith=f"{old}/"):
        PolicyVersion.objects.filter(pk=policy.pk).update(checkpoint=new + policy.checkpoint.removeprefix(old))
    before, after = json.dumps(f"{old}/")[1:-1], json.dumps(f"{new}/")[1:-1]
    for run in TrainingRun.objects.only("inputs", "result").iterator(500):
        given = json.dumps([run.inputs, run.result])
        if before in given:
            inputs, result = json.loads(given.replace(before, after))
            TrainingRun.objects.filter(pk=run.pk).update(inputs=inputs, result=result)
