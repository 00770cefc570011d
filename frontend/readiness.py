"""What a server needs before it starts: tables, static files, and for training the train extra."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from frontend.private_files import keep_private


def prepare(say: Callable[[str], object]) -> None:
    """Make the tables of a new database and collect the static files, each where it is needed.

    Raises CommandError, with what to do, where the database is of an older version or a folder cannot be made.
    """
    try:
        _close_home()
        str(settings.SECRET_KEY)  # an unreadable one would sign everybody out, page by page, and not say why
        make_tables(say)
        collect_static_files(say)
    except ImproperlyConfigured as why:
        raise CommandError(str(why)) from why


def _close_home() -> None:
    try:
        keep_private(Path(settings.HOME))
    except OSError as why:
        raise CommandError(
            f"The data folder {settings.HOME} cannot be made ({why.strerror}). Set PREFLOOP_HOME to one that can."
        ) from why


def can_train() -> bool:
    """Return whether the train extra is installed, without importing it."""
    return importlib.util.find_spec("torch") is not None


def make_tables(say: Callable[[str], object]) -> None:
    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return
    if executor.loader.applied_migrations:
        command = "manage.py" if settings.IS_CHECKOUT else "prefloop"
        raise CommandError(f"The database is of an older version. Back it up, then run `{command} migrate`.")
    say(f"Making the tables of a new database; data is kept in {settings.HOME}")
    call_command("migrate", verbosity=0)


def collect_static_files(say: Callable[[str], object]) -> None:
    if finders.find("vendor/htmx.min.js") is None:
        raise CommandError(
            "The pages' libraries (htmx, Sortable, uPlot) are not in this checkout. Run `make pages`, or "
            "`python .ci/vendor.py` where npm is installed."
        )
    if settings.DEBUG:  # served from where they lie
        return
    root = Path(settings.STATIC_ROOT)
    note = root.with_name(f"{root.name}.sha256")
    sources = fingerprint()
    if root.is_dir() and note.exists() and note.read_text() == sources:
        return
    say("Collecting the static files …")
    note.unlink(missing_ok=True)  # an interrupted collection is done again
    call_command("collectstatic", interactive=False, clear=True, verbosity=0)  # whatever the files' times say
    note.write_text(sources)


def fingerprint() -> str:
    """Return a hash over name, size and time of every static file: another one asks for a new collection."""
    digest = hashlib.sha256()
    for finder in finders.get_finders():
        for name, storage in finder.list([]):
            found = Path(storage.path(name)).stat()
            digest.update(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()
