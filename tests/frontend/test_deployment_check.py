"""`prefloop check`: what is wrong is said in words, by part, and the exit code says whether anything is."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from annotation import clock
from frontend import cli, deployment_check
from tests.training.test_engine_away import REFUSED, answering
from training.executors import EXECUTORS
from training.models import StageCompute, WorkerSign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
KNOWS_NO_SUCH_JOB = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(autouse=True)
def deployment(settings, tmp_path, monkeypatch):
    """A whole one: what a test breaks is all that is said."""
    tmp_path.chmod(0o700)
    settings.HOME = tmp_path
    settings.ALLOWED_HOSTS = ["prefloop.example.org"]
    settings.PUBLIC_URL = "https://prefloop.example.org"
    settings.SECURE_SSL_REDIRECT = True
    monkeypatch.setenv("PREFLOOP_SECRET_KEY", "s" * 50)
    monkeypatch.setattr(deployment_check, "LOW_BYTES", 0)
    monkeypatch.setattr(deployment_check, "LEAST_FREE_BYTES", 0)
    monkeypatch.setattr(EXECUTORS["local"], "unavailable", lambda: "")
    WorkerSign.objects.create(name="gpu-1:7", seen_at=clock.now())
    return settings


def said() -> list[tuple[str, str, str]]:
    return [(level.value, part, text) for level, part, text in deployment_check.findings()]


def wrong() -> list[tuple[str, str, str]]:
    return [each for each in said() if each[0] != "ok"]


def test_a_deployment_that_is_whole(capsys):
    call_command("check_deployment")
    lines = capsys.readouterr().out.splitlines()
    assert [line[:8] for line in lines] == ["ok      "] * len(lines)
    text = "\n".join(lines)
    assert ("PostgreSQL 1" if connection.vendor == "postgresql" else "SQLite 3.") in text
    assert ("clock: as the database's" in text) == (connection.vendor == "postgresql")
    for part in (
        "addresses: answers to prefloop.example.org",
        "GB are free on the disk of",
        "gpu-1:7 gave a sign",
        "redis: keeps counters" if os.environ.get("REDIS_URL") else "redis: REDIS_URL is not set",
        "mail: EMAIL_HOST is not set",
        "executor: local takes jobs",
    ):
        assert part in text


def test_the_command_fails_where_there_is_a_problem(deployment, monkeypatch, capsys):
    deployment.DEBUG = True
    deployment.EMAIL_HOST, deployment.PUBLIC_URL = "127.0.0.1", ""
    with pytest.raises(CommandError, match=r"^2 problems$"):
        call_command("check_deployment")
    capsys.readouterr()
    deployment.EMAIL_HOST = ""
    monkeypatch.setattr(sys, "argv", ["prefloop", "check", "--no-color"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert "problem  addresses: PREFLOOP_DEBUG is on" in printed.out
    assert "1 problem" in printed.err


@pytest.mark.parametrize(
    ("hosts", "url", "https", "level", "text"),
    [
        (["a.example.org"], "https://b.example.org", True, "problem", "leads to b.example.org, which PREFLOOP_HOSTS"),
        (["a.example.org"], "https://a.example.org", False, "problem", "PREFLOOP_HTTPS is not 1: cookies"),
        (["a.example.org"], "http://a.example.org", True, "problem", "PREFLOOP_URL is http"),
        (["a.example.org"], "", True, "warning", "PREFLOOP_URL is not set"),
        (["a.example.org"], "http://a.example.org", False, "warning", "can take over sessions"),
        (["*"], "https://a.example.org", True, "warning", "allows every host name"),
        (["a.example.org"], "https://a.example.org:8443", True, "warning", "forms of https://a.example.org:8443"),
        (["localhost", "127.0.0.1"], "", False, None, ""),
        ([".example.org"], "https://a.example.org", True, None, ""),
    ],
)
def test_addresses(deployment, hosts, url, https, level, text):
    deployment.ALLOWED_HOSTS, deployment.PUBLIC_URL, deployment.SECURE_SSL_REDIRECT = hosts, url, https
    found = wrong()
    assert [(each[0], each[1]) for each in found] == ([(level, "addresses")] if level else [])
    assert all(text in each[2] for each in found)


def test_the_home_and_its_disk(deployment, tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    ((_, _, text),) = wrong()
    assert f"chmod 700 {tmp_path}" in text
    tmp_path.chmod(0o700)
    monkeypatch.setattr(deployment_check, "LOW_BYTES", 2**60)
    assert [(level, part) for level, part, _ in wrong()] == [("warning", "home")]
    monkeypatch.setattr(deployment_check, "LEAST_FREE_BYTES", 2**60)
    assert [(level, part) for level, part, _ in wrong()] == [("problem", "home")]
    monkeypatch.delenv("PREFLOOP_SECRET_KEY")
    deployment.HOME = tmp_path / "nowhere"
    assert [(level, part) for level, part, _ in wrong()] == [("problem", "home"), ("warning", "secret key")]

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    deployment.HOME = tmp_path
    monkeypatch.setattr(os, "fsync", fails)
    assert "takes no files (Input/output error)" in wrong()[0][2]


def test_a_database_that_does_not_answer_leaves_the_other_parts(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OperationalError('connection failed:\nno password for "prefloop"')

    monkeypatch.setattr(BaseDatabaseWrapper, "cursor", fail)
    assert wrong() == [("problem", "database", 'OperationalError: connection failed: no password for "prefloop"')]
    assert {"mail", "executor"} <= {part for _, part, _ in said()}


def test_a_database_of_an_older_version(monkeypatch):
    monkeypatch.setattr(
        "django.db.migrations.executor.MigrationExecutor.migration_plan", lambda *_, **__: [("one", False)]
    )
    ((level, part, text),) = wrong()
    assert (level, part) == ("problem", "database")
    assert "1 migrations are not applied: `prefloop migrate` does it." in text


def test_a_clock_that_is_wrong_and_a_worker_that_is_silent(monkeypatch):
    WorkerSign.objects.update(seen_at=clock.now() - timedelta(minutes=10))
    ((level, part, text),) = wrong()
    assert (level, part) == ("warning", "worker")
    assert "gpu-1:7, the last one, has been silent for 6" in text
    WorkerSign.objects.all().delete()
    assert "none has reported yet" in wrong()[0][2]
    if connection.vendor == "postgresql":
        ahead = timezone.now() + timedelta(hours=1)
        monkeypatch.setattr(deployment_check.timezone, "now", lambda: ahead)
        assert "s ahead of the database's" in wrong()[0][2]


@pytest.fixture
def mail_server() -> Iterator[int]:
    """The port of a server that greets one client."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client, client.makefile("rwb") as lines:
                lines.write(b"220 here\r\n")
                lines.flush()
                for _ in lines:
                    lines.write(b"250 yes\r\n")
                    lines.flush()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_the_mail_server_is_asked_to_let_us_in(deployment, mail_server):
    deployment.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    deployment.EMAIL_HOST, deployment.EMAIL_PORT = "127.0.0.1", mail_server
    assert ("ok", "mail", f"127.0.0.1:{mail_server} lets us in") in said()
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        deployment.EMAIL_PORT = nobody_listens.getsockname()[1]
        ((level, part, text),) = wrong()
    assert (level, part) == ("problem", "mail")
    assert "does not let us in" in text


def test_executors_that_are_in_use_are_asked(deployment, project, monkeypatch, tmp_path):
    deployment.TRAINING_EXECUTOR = "cloud"
    assert "PREFLOOP_EXECUTOR is 'cloud'; executors that are installed: local" in wrong()[0][2]
    deployment.TRAINING_EXECUTOR = "local"
    for method, name in (("sample", "ray"), ("ppo", "slurm"), ("dpo", "gone")):
        StageCompute.objects.create(project=project, method=method, executor=name)
    monkeypatch.setenv("PATH", str(tmp_path))
    with answering(KNOWS_NO_SUCH_JOB) as deployment.RAY_ADDRESS:
        assert wrong() == [
            ("problem", "executor", "a project has chosen gone, which is not installed."),
            ("problem", "executor", "slurm: sbatch, squeue, scontrol, scancel: not installed on this machine"),
        ]
    StageCompute.objects.exclude(executor="ray").delete()
    with answering(REFUSED) as deployment.RAY_ADDRESS:
        assert wrong() == [("problem", "executor", "ray: Ray refused the token (PREFLOOP_RAY_TOKEN): 401")]


def test_this_machine_needs_torch_where_runs_are(deployment, monkeypatch, tmp_path):
    monkeypatch.undo()
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o700)
    deployment.RECIPE_PYTHON = str(python)
    assert EXECUTORS["local"].unavailable() == f"{python} has no torch: install prefloop[train], where runs are"
    deployment.RECIPE_PYTHON = str(tmp_path / "nothing")
    assert "does not start" in EXECUTORS["local"].unavailable()
