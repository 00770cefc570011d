"""A backup of everything that PREFLOOP_HOME and the database hold, taken while people work, and its restoring.

A backup is one tar file: manifest.json, the database, snapshots, runs, models, the secret key, and at the end
digests.json with the SHA-256 of each. The database comes first: whatever its rows name was there before they were, so
each file that they need follows. Resumable states of unfinished runs are left out, as they change while they are
copied; after a restore such a run begins anew.
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
from typing import IO, Any, cast

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from annotation.durable import put_in_place, sync_below

MANIFEST, SQLITE, POSTGRES, DIGESTS = "manifest.json", "database.sqlite3", "database.dump", "digests.json"
FOLDERS = {"snapshots": "SNAPSHOT_DIR", "runs": "RUN_DIR", "models": "MODEL_DIR"}
KEY = "secret_key"
LEFT_OUT = {"state", "state.tmp", "state.old", "checkpoint.tmp", "pid"}
FORMAT = 2
NAMED = 10  # damaged files in a message
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
    digests: dict[str, str] = {}
    manifest = {
        "format": FORMAT,
        "made_at": timezone.now().isoformat(),
        "database": connection.vendor,
        "migrations": sorted(map(list, MigrationRecorder(connection).applied_migrations())),
        "home": str(settings.HOME),
    }
    _add_bytes(tar, digests, MANIFEST, json.dumps(manifest, indent=1).encode())
    with tempfile.TemporaryDirectory() as folder:
        _add_file(tar, digests, _dumped(Path(folder)), SQLITE if connection.vendor == "sqlite" else POSTGRES)
    for name, setting in FOLDERS.items():
        found = _files(Path(getattr(settings, setting)))
        count = sum(_add_file(tar, digests, path, f"{name}/{inner}") for path, inner in found)
        say(f"{name}: {count} files")
    key = Path(settings.HOME) / KEY
    if key.exists():
        _add_file(tar, digests, key, KEY)
    _add_bytes(tar, {}, DIGESTS, json.dumps(digests).encode())
    _say_damaged(digests, say)


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


class _Digested:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int) -> bytes:
        piece = self.file.read(size)
        self.digest.update(piece)
        return piece


def _add_file(tar: tarfile.TarFile, digests: dict[str, str], path: Path, name: str) -> bool:
    """Add a file as long as it is now, also where it grows or is replaced meanwhile; False where it has gone."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        info = tarfile.TarInfo(name)
        stat = os.fstat(file.fileno())
        info.size, info.mtime, info.mode = stat.st_size, int(stat.st_mtime), 0o600
        digested = _Digested(file)
        tar.addfile(info, cast(IO[bytes], digested))
    digests[name] = digested.digest.hexdigest()
    return True


def _add_bytes(tar: tarfile.TarFile, digests: dict[str, str], name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    tar.addfile(info, io.BytesIO(content))
    digests[name] = hashlib.sha256(content).hexdigest()


def restore(source: Path, say: Callable[[str], object]) -> None:
    """Put a backup into an empty home and an empty database. Raises CommandError, and then changes nothing there."""
    home = Path(settings.HOME)
    _refuse_if_used(home)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=home, prefix="restoring-") as folder:
        unpacked = Path(folder)
        manifest, digests = _unpack(source, unpacked)
        _say_damaged(digests, say)
        _point_to(unpacked, manifest["home"], str(home))
        _put_all(unpacked, home)
    _point_rows_to(manifest["home"], str(home))
    call_command("migrate", verbosity=0)
    say(f"Restored into {home} from the backup of {manifest['made_at']}. Unfinished runs begin anew.")


def _put_all(unpacked: Path, home: Path) -> None:
    """Move files and database to their places, the database last; where one of them cannot be, take back the others."""
    with contextlib.ExitStack() as on_failure:
        try:
            for name, setting in FOLDERS.items():
                if (unpacked / name).exists():
                    target = Path(getattr(settings, setting))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    if target.exists():
                        target.rmdir()  # it is empty
                    on_failure.callback(shutil.rmtree, target, ignore_errors=True)
                    shutil.move(unpacked / name, target)
                    sync_below(target)
            if (unpacked / KEY).exists():
                on_failure.callback((home / KEY).unlink, missing_ok=True)
                put_in_place(unpacked / KEY, home / KEY)
            _put_database(unpacked)
        except OSError as why:
            raise CommandError(f"Nothing was restored: {why}") from why
        on_failure.pop_all()  # all is there


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


def _unpack(source: Path, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Unpack a backup and return its manifest and the digests of its files, each of which is as it was written."""
    name = "its beginning"
    try:
        with tarfile.open(source, "r:") as tar:
            for entry in tar:
                name = entry.name
                _unpack_file(tar, entry, folder)
    except OSError as why:
        raise CommandError(f"{source} could not be unpacked, at {name}: {why}. Nothing was restored.") from why
    except (tarfile.TarError, ValueError, EOFError) as why:
        raise CommandError(f"{source} cannot be read as a backup, at {name}: {why}. Nothing was restored.") from why
    if not (folder / DIGESTS).exists():
        raise CommandError(f"{source} is damaged or cut short after {name}. Nothing was restored.")
    digests: dict[str, str] = _json_in(source, folder / DIGESTS)
    _compare(source, folder, digests)
    manifest = _json_in(source, folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise CommandError(f"{source} is of another version of Prefloop (format {manifest.get('format')!r}).")
    if manifest["database"] != connection.vendor:
        raise CommandError(f"The backup is of {manifest['database']}; DATABASE_URL names {connection.vendor}.")
    return manifest, digests


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


def _json_in(source: Path, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as why:
        raise CommandError(f"{source} is damaged: {path.name} cannot be read ({why}). Nothing was restored.") from why
    if not isinstance(found, dict):
        raise CommandError(f"{source} is damaged: {path.name} holds no object. Nothing was restored.")
    return found


def _compare(source: Path, folder: Path, digests: dict[str, str]) -> None:
    """Raise CommandError with the names of files that are not what was written, missing, or not of the backup."""
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    del there[DIGESTS]
    wrong = [f"{name} is missing" for name in sorted(digests.keys() - there.keys())]
    wrong += [f"{name} is not of the backup" for name in sorted(there.keys() - digests.keys())]
    for name in sorted(there.keys() & digests.keys()):
        with there[name].open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digests[name]:
                wrong.append(f"{name} is not what was written")
    if wrong:
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise CommandError(f"{source} is damaged: {', '.join(wrong[:NAMED])}{more}. Nothing was restored.")


def _say_damaged(digests: dict[str, str], say: Callable[[str], object]) -> None:
    """Name the snapshots that are not what their names, SHA-256 digests, say: they were damaged before the backup."""
    for name, digest in digests.items():
        path = PurePosixPath(name)
        if path.parent == PurePosixPath("snapshots") and path.suffix == ".jsonl" and path.stem != digest:
            say(
                f"{name} is not what was frozen: it was damaged before the backup. Restore this file from an older one."
            )


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
