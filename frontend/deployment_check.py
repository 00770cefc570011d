"""What is wrong with a deployment, in words: `prefloop check` prints it.

Each look is a function that yields findings; one that raises is a finding as well, so that the others are still made.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from channels.layers import get_channel_layer
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import get_connection
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from annotation import clock
from frontend.serving.health import LEAST_FREE_BYTES
from training.executors import EXECUTORS, configured_executor
from training.models import StageCompute, WorkerSign

PATIENCE_SECONDS = 10.0  # with Redis and the mail server
LOW_BYTES = 5 * 2**30  # checkpoints of a round take gigabytes
CLOCK_SECONDS = 2.0
LOCAL = {"localhost", "127.0.0.1", "[::1]"}


class Severity(Enum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class DeploymentFinding(NamedTuple):
    severity: Severity
    part: str
    text: str


def ok(part: str, text: str) -> DeploymentFinding:
    return DeploymentFinding(Severity.OK, part, text)


def warning(part: str, text: str) -> DeploymentFinding:
    return DeploymentFinding(Severity.WARNING, part, text)


def problem(part: str, text: str) -> DeploymentFinding:
    return DeploymentFinding(Severity.PROBLEM, part, text)


def findings() -> Iterator[DeploymentFinding]:
    """Yield what was found, part by part. Where the database does not answer, what it would tell is left out."""
    for part, look in (("addresses", addresses), ("home", home), ("secret key", secret_key), ("redis", redis)):
        yield from _looked_at(part, look)
    answers = True
    for found in _looked_at("database", database):
        answers = answers and found.severity is not Severity.PROBLEM
        yield found
    if answers:
        yield from _looked_at("clock", clocks)
        yield from _looked_at("worker", worker)
    yield from _looked_at("mail", mail)
    yield from _looked_at("executor", lambda: executors(ask_projects=answers))


def _looked_at(part: str, look: Callable[[], Iterator[DeploymentFinding]]) -> Iterator[DeploymentFinding]:
    try:
        yield from look()
    except Exception as error:  # what drivers raise is their own
        yield problem(part, f"{type(error).__name__}: {' '.join(str(error).split())}")


def addresses() -> Iterator[DeploymentFinding]:
    """Look at the settings that decide who reaches the server, and how."""
    hosts, url = [host.strip() for host in settings.ALLOWED_HOSTS], urlsplit(settings.PUBLIC_URL)
    outside = [host for host in hosts if host not in LOCAL]
    if settings.DEBUG:
        yield problem("addresses", "PREFLOOP_DEBUG is on: errors show code and settings to everybody. Unset it.")
    if "*" in hosts:
        yield warning("addresses", "PREFLOOP_HOSTS allows every host name. Name those that people use.")
    if url.hostname and not _is_allowed(url.hostname, hosts):
        yield problem(
            "addresses",
            f"PREFLOOP_URL leads to {url.hostname}, which PREFLOOP_HOSTS does not name: its requests are refused.",
        )
    if url.scheme == "https" and not settings.SECURE_SSL_REDIRECT:
        yield problem(
            "addresses", "PREFLOOP_URL is https, and PREFLOOP_HTTPS is not 1: cookies travel without TLS too."
        )
    if url.scheme == "http" and settings.SECURE_SSL_REDIRECT:
        yield problem("addresses", "PREFLOOP_HTTPS is 1, and PREFLOOP_URL is http: links in mails lead to http first.")
    if outside and not settings.PUBLIC_URL:
        yield warning(
            "addresses", "PREFLOOP_URL is not set: mails, invitations and webhooks cannot link to the server."
        )
    if outside and not settings.SECURE_SSL_REDIRECT and url.scheme != "https":
        yield warning(
            "addresses",
            f"PREFLOOP_HTTPS is not 1: who sees the traffic of {', '.join(outside)} can take over sessions.",
        )
    origin = f"{url.scheme}://{url.netloc}"
    if url.scheme == "https" and url.port and origin not in settings.CSRF_TRUSTED_ORIGINS:
        yield warning(
            "addresses",
            f"PREFLOOP_URL has a port: forms of {origin} are refused unless the proxy passes on Host with it.",
        )
    yield ok("addresses", f"answers to {', '.join(hosts)}")


def _is_allowed(host: str, allowed: list[str]) -> bool:
    ends = (pattern for pattern in allowed if pattern.startswith("."))
    return "*" in allowed or host in allowed or any(f".{host}".endswith(end) for end in ends)


def home() -> Iterator[DeploymentFinding]:
    """Look whether files can be kept in PREFLOOP_HOME, and for how long."""
    folder = Path(settings.HOME)
    if not folder.is_dir():
        yield problem("home", f"PREFLOOP_HOME, {folder}, is no folder. `prefloop serve` makes it, where it may.")
        return
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as why:
        yield problem("home", f"{folder} takes no files ({why.strerror}): it belongs to the account of the server.")
        return
    free = shutil.disk_usage(folder).free
    said = f"{free / 2**30:.1f} GB are free on the disk of {folder}"
    if free < LEAST_FREE_BYTES:
        yield problem("home", f"{said}: nothing can be stored. `prefloop prune_artefacts` deletes files of old rounds.")
    elif free < LOW_BYTES:
        yield warning("home", f"{said}: a round needs more. `prefloop prune_artefacts` deletes files of old rounds.")
    else:
        yield ok("home", said)
    if folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield warning("home", f"other accounts can enter {folder}, which holds password hashes: chmod 700 {folder}")


def secret_key() -> Iterator[DeploymentFinding]:
    """Look whether the key that signs sessions can be read."""
    given = bool(os.environ.get("PREFLOOP_SECRET_KEY"))
    if not given and not (Path(settings.HOME) / "secret_key").exists():
        yield warning("secret key", "there is none yet: `prefloop serve` makes it.")
        return
    str(settings.SECRET_KEY)
    yield ok("secret key", "from PREFLOOP_SECRET_KEY" if given else "from the file in PREFLOOP_HOME")


def database() -> Iterator[DeploymentFinding]:
    """Look whether the database answers, has the tables of this version, and keeps all characters."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SHOW server_version")
            version = f"PostgreSQL {cursor.fetchone()[0]}"
            cursor.execute("SHOW server_encoding")
            if (encoding := cursor.fetchone()[0]) != "UTF8":
                yield problem("database", f"its encoding is {encoding}; texts need a database with the encoding UTF8.")
        else:
            cursor.execute("SELECT sqlite_version()")
            version = f"SQLite {cursor.fetchone()[0]}, for one web process"
    executor = MigrationExecutor(connection)
    if missing := executor.migration_plan(executor.loader.graph.leaf_nodes()):
        command = "`prefloop migrate`" if executor.loader.applied_migrations else "`prefloop serve`"
        yield problem("database", f"{version}; {len(missing)} migrations are not applied: {command} does it.")
    else:
        yield ok("database", version)


def clocks() -> Iterator[DeploymentFinding]:
    """Compare this machine's clock with the database's, by which leases and heartbeats are written."""
    if connection.vendor != "postgresql":
        return
    before = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        said = cursor.fetchone()[0]
    ahead = ((before + (timezone.now() - before) / 2) - said).total_seconds()
    if abs(ahead) > CLOCK_SECONDS:
        which = "ahead of" if ahead > 0 else "behind"
        text = f"this machine's clock is {abs(ahead):.0f} s {which} the database's: set both by NTP."
        yield warning("clock", text)
    else:
        yield ok("clock", "as the database's")


def worker() -> Iterator[DeploymentFinding]:
    """Look when a worker gave the last sign of life."""
    newest = WorkerSign.objects.order_by("-seen_at").first()
    if newest is None:
        yield warning("worker", "none has reported yet: without `prefloop run_worker` rounds, mails and imports wait.")
        return
    silent = (clock.now() - newest.seen_at).total_seconds()
    if silent > settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS:
        yield warning(
            "worker", f"{newest.name}, the last one, has been silent for {silent:.0f} s: rounds and mails wait."
        )
    else:
        yield ok("worker", f"{newest.name} gave a sign {max(0.0, silent):.0f} s ago")


def redis() -> Iterator[DeploymentFinding]:
    """Look whether messages and counters pass through Redis, where it is set."""
    if not settings.REDIS_URL:
        yield ok("redis", "REDIS_URL is not set: enough for one web process")
        return
    cache.set("deployment-check", "here", 10)
    if cache.get("deployment-check") != "here":
        yield problem("redis", "it does not keep what is stored in it.")
    asyncio.run(_message_passes())
    yield ok("redis", "keeps counters and passes messages on")


async def _message_passes() -> None:
    layer = get_channel_layer()
    channel = await layer.new_channel("check")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await layer.send(channel, {"type": "check"})
        await layer.receive(channel)


def mail() -> Iterator[DeploymentFinding]:
    """Sign in at the mail server, without sending anything."""
    if not settings.EMAIL_HOST:
        yield ok("mail", "EMAIL_HOST is not set: no mail is sent")
        return
    if not settings.PUBLIC_URL:
        yield problem("mail", "PREFLOOP_URL is not set: mails have no links.")
    server = get_connection(timeout=PATIENCE_SECONDS)
    try:
        server.open()
    except OSError as why:  # all that smtplib raises is one
        where = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
        yield problem("mail", f"{where} does not let us in: {why or type(why).__name__}")
        return
    server.close()
    yield ok("mail", f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT} lets us in")


def executors(*, ask_projects: bool) -> Iterator[DeploymentFinding]:
    """Ask the executor of the settings, and each one that a project has chosen, whether it would take a job now."""
    try:
        names = {configured_executor().name}
    except ImproperlyConfigured as why:
        yield problem("executor", str(why))
        names = set()
    if ask_projects:
        names |= set(StageCompute.objects.exclude(executor="").values_list("executor", flat=True))
    for name in sorted(names):
        if name not in EXECUTORS:
            yield problem("executor", f"a project has chosen {name}, which is not installed.")
        elif reason := EXECUTORS[name].unavailable():
            # Where the web server has a machine of its own, runs of `local` are on another one.
            found = problem if EXECUTORS[name].outlives_worker else warning
            yield found("executor", f"{name}: {reason}")
        else:
            yield ok("executor", f"{name} takes jobs")
