"""`manage.py serve` as a person starts it: one address for pages and sockets, a worker, and a clean end."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest
import requests
import websockets
from django.contrib.staticfiles.finders import get_finder
from django.core.management import CommandError

from frontend.readiness import collect_static_files
from tests.programs import free_port
from tests.tables import sqlite_tables

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("serve")]

PREPARE = "from frontend.readiness import prepare\nprepare(print)\n"
SET_UP = """
from django.contrib.auth.models import User
from annotation.actions import projects, tasks
from annotation.models import Completion, PolicyVersion, Project, Prompt, Source
admin = User.objects.create_user("admin", password="secret words", is_staff=True)
project = projects.create_project(project=Project(name="Letters"), by=admin)
policy = PolicyVersion.objects.create(project=project, number=0, checkpoint="/nowhere")
for number in range(3):
    messages = [{"role": "user", "content": f"Question {number}"}]
    prompt = Prompt.objects.create(project=project, messages=messages, digest=Prompt.digest_of(messages), split="train")
    texts = [Completion.objects.create(prompt=prompt, source=Source.POLICY, policy=policy, text=t) for t in "ab"]
    tasks.open_task(prompt=prompt, kind="ranking", candidates=texts, seats=1)
"""


def manage(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)


def environment_of(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    return {**kept, "PREFLOOP_HOME": str(home)}


def begin(environment: dict[str, str], program: str) -> None:
    """Make a home as `serve` prepares it, and run a program there. All homes on SQLite are copies of one."""
    if "DATABASE_URL" in environment:
        copy_static_files(Path(environment["PREFLOOP_HOME"]))
    else:
        shutil.copytree(_prepared(), environment["PREFLOOP_HOME"], dirs_exist_ok=True)
    manage(environment, "shell", "--verbosity", "0", "-c", PREPARE + program)


def copy_static_files(home: Path) -> None:
    """Give a home the static files that a server would collect and compress at its first start, for two seconds."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copytree(_prepared() / "static", home / "static")


@functools.cache
def _prepared() -> Path:
    """Return a home that holds tables, static files and nothing else; each copy makes a secret key of its own."""
    folder = tempfile.TemporaryDirectory(prefix="prefloop-prepared-")
    atexit.register(folder.cleanup)
    home = Path(folder.name) / "home"
    home.mkdir(mode=0o700)
    shutil.copyfile(sqlite_tables(), home / "db.sqlite3")
    manage(environment_of(home), "shell", "--verbosity", "0", "-c", PREPARE)
    (home / "secret_key").unlink()
    return home


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return environment_of(tmp_path / "home")


@pytest.fixture(scope="module")
def prepared_home(tmp_path_factory) -> Path:
    """A folder as `serve` prepares it before it answers."""
    home = tmp_path_factory.mktemp("prepared") / "home"
    begin(environment_of(home), SET_UP)
    return home


@contextlib.contextmanager
def serving(
    environment: dict[str, str], *, log: IO[str] | int = subprocess.PIPE, launcher: Sequence[str] = ()
) -> Iterator[tuple[Any, str]]:
    """A process of `manage.py serve` that answers, and its address; `launcher` is a command that starts it."""
    port = free_port()
    command = [*launcher, sys.executable, "manage.py", "serve", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(900):
            try:
                requests.get(f"{url}/health/", timeout=5)
                break
            except requests.ConnectionError:
                assert process.poll() is None, process.stdout and process.stdout.read()
                time.sleep(0.1)
        yield process, url
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def server(prepared_home, tmp_path):
    shutil.copytree(prepared_home, tmp_path / "home")
    with serving(environment_of(tmp_path / "home")) as running:
        yield running


def sign_in(url: str, username: str = "admin") -> requests.Session:
    session = requests.Session()
    session.get(f"{url}/accounts/login/", timeout=10)
    form = {"username": username, "password": "secret words", "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    answer = session.post(f"{url}/accounts/login/", data=form, headers={"Referer": url}, timeout=10)
    assert answer.status_code == 200
    assert "sessionid" in session.cookies
    session.headers["X-CSRFToken"] = session.cookies["csrftoken"]
    session.headers["Referer"] = url
    return session


def rank_one(session: requests.Session, url: str) -> None:
    seat = session.post(f"{url}/api/v1/projects/letters/tasks/claim/", timeout=10).json()
    answer = {
        "client_uuid": str(uuid.uuid4()),
        "tiers": [[candidate["id"]] for candidate in seat["candidates"]],
    }
    submitted = session.post(f"{url}/api/v1/projects/letters/assignments/{seat['id']}/submit/", json=answer, timeout=10)
    assert submitted.status_code == 200, submitted.text


def test_pages_and_sockets_on_one_address_and_a_clean_end_on_ctrl_c(server):
    process, url = server
    session = sign_in(url)
    cookie = "; ".join(f"{name}={value}" for name, value in session.cookies.items())

    async def listen_while_ranking() -> dict[str, str]:
        address = f"{url.replace('http', 'ws')}/ws/projects/letters/"
        async with websockets.connect(address, additional_headers={"Cookie": cookie}, origin=url) as page:
            await asyncio.to_thread(rank_one, session, url)
            return json.loads(await asyncio.wait_for(page.recv(), 10))

    assert asyncio.run(listen_while_ranking()) == {"topic": "queue"}
    process.send_signal(signal.SIGINT)
    assert process.wait(15) == 0
    assert "Stopped." in process.stdout.read()


def test_sigterm_ends_it_as_cleanly(server):
    process, url = server
    assert requests.get(f"{url}/health/", timeout=10).json() == {"status": "ok"}
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0


def test_static_files_are_compressed_and_kept_for_ever(server):
    _, url = server
    page = requests.get(f"{url}/accounts/login/", timeout=10).text
    address = page.split('<link rel="stylesheet" href="')[1].split('"')[0]
    answer = requests.get(url + address, headers={"Accept-Encoding": "gzip"}, timeout=10)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "immutable" in answer.headers["Cache-Control"]


def test_a_database_of_an_older_version_is_left_alone(environment):
    home = Path(environment["PREFLOOP_HOME"])
    home.mkdir(mode=0o700)
    shutil.copyfile(sqlite_tables(), home / "db.sqlite3")
    with contextlib.closing(sqlite3.connect(home / "db.sqlite3")) as database, database:
        database.execute(
            "DELETE FROM django_migrations WHERE app IN ('annotation', 'training') AND name <> '0001_initial'"
        )
    refused = subprocess.run(
        [sys.executable, "manage.py", "serve"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "Back it up, then run `manage.py migrate`" in refused.stderr
    assert "[ ] 0002" in manage(environment, "showmigrations", "annotation").stdout


@pytest.fixture
def sources(settings, tmp_path):
    """A folder that static files are collected from, in the place of the app's own."""
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STATICFILES_DIRS = [tmp_path / "sources"]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    get_finder.cache_clear()
    (tmp_path / "sources" / "vendor").mkdir(parents=True)
    yield tmp_path / "sources"
    get_finder.cache_clear()


def test_static_files_are_collected_again_only_when_the_code_has_others(sources, tmp_path):
    library = sources / "vendor" / "htmx.min.js"
    with pytest.raises(CommandError, match="make pages"):
        collect_static_files(print)
    said: list[str] = []
    library.write_text("first")
    collect_static_files(said.append)
    collect_static_files(said.append)
    assert len(said) == 1
    library.write_text("another")
    collect_static_files(said.append)
    assert len(said) == 2
    assert (tmp_path / "static" / "vendor" / "htmx.min.js").read_text() == "another"


def test_reading_the_settings_writes_nothing(environment, tmp_path):
    manage(environment, "check")
    assert not (tmp_path / "home").exists()


def test_the_secret_key_is_made_once_for_the_owner_alone(environment, tmp_path):
    program = "from django.conf import settings\nprint(len(settings.SECRET_KEY), hash(settings.SECRET_KEY + ''))"
    environment["PYTHONHASHSEED"] = "0"
    first, second = (manage(environment, "shell", "--verbosity", "0", "-c", program).stdout for _ in range(2))
    assert first == second
    assert first.startswith("67 ")  # 50 random bytes
    assert stat.S_IMODE((tmp_path / "home" / "secret_key").stat().st_mode) == 0o600


def test_a_secret_key_that_cannot_be_used_is_said_at_the_start(environment, tmp_path):
    """Not by signing everybody out, which is what Django makes of it while it answers a request."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "secret_key").touch()
    for command in (["manage.py", "serve"], ["-c", "import frontend.asgi"]):
        started = [sys.executable, *command]
        refused = subprocess.run(started, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert f"{tmp_path / 'home' / 'secret_key'} is empty. Delete it" in refused.stderr


def test_a_data_folder_that_cannot_be_made_is_named(environment, tmp_path):
    (tmp_path / "home").write_text("a file")
    refused = subprocess.run(
        [sys.executable, "manage.py", "serve"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert f"The data folder {tmp_path / 'home'} cannot be made" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_sqlite_runs_in_wal_with_immediate_transactions_and_a_busy_timeout(environment):
    program = (
        "from django.db import connection as c\n"
        "cursor = c.cursor()\n"
        "names = ('journal_mode', 'synchronous', 'busy_timeout')\n"
        "print([cursor.execute(f'PRAGMA {name}').fetchone()[0] for name in names])\n"
        "print(c.transaction_mode)\n"
    )
    lines = manage(environment, "shell", "--verbosity", "0", "-c", program).stdout.splitlines()
    assert lines == ["['wal', 2, 20000]", "IMMEDIATE"]
