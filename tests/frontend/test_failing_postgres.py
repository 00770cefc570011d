"""PostgreSQL with a full disk, read-only, crashed, and with connections that it ends: what the server answers then.

`test_failing_disk.py` shows the same of SQLite.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import signal
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.db import connection
from django.test import Client

from annotation.models import Assignment, Ranking, SeatStatus
from tests import services
from tests.annotation.test_work import submit
from tests.disks import fill, small_disk
from tests.frontend.test_failing_disk import MORE, WAIT, Visitor, check_words
from tests.frontend.test_serve import SET_UP, begin, environment_of, rank_one, serving, sign_in

FULL, NO_WRITES = "The server's disk is full", "The server's disk takes no data"
AWAY, BUSY = "The database is not available", "The database could not finish this"


@pytest.mark.database
@pytest.mark.django_db
@pytest.mark.parametrize("fragment", [False, True])
@pytest.mark.parametrize(
    ("state", "status", "title"),
    [
        ("53100", 507, FULL),
        ("53400", 507, FULL),
        ("58030", 503, NO_WRITES),
        ("58000", 503, NO_WRITES),
        ("58P01", 503, NO_WRITES),
        ("25006", 503, NO_WRITES),
        ("08006", 503, AWAY),
        ("53300", 503, AWAY),
        ("57P01", 503, AWAY),
        ("57P05", 503, AWAY),
        ("53200", 503, BUSY),
        ("55P03", 503, BUSY),
        ("40P01", 503, BUSY),
        ("40001", 503, BUSY),
        ("57014", 503, BUSY),
        ("22012", 500, ""),  # a defect of the program
    ],
)
def test_what_postgresql_reports_while_a_judgment_is_stored(
    bob, annotator, project, open_ranking_task, state, status, title, fragment
):
    """Raised by the server itself, by a trigger on the table of rankings; without it the same submit is stored once."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLSTATE is PostgreSQL's")
    open_ranking_task()
    bob.post(f"/projects/{project.slug}/annotate/")
    seat = Assignment.objects.get(status=SeatStatus.HELD)
    client = Client(raise_request_exception=False)
    client.force_login(annotator)
    answer: dict[str, Any] = {"htmx": fragment, "tiers": [[pk] for pk in seat.shown_order]}
    fail = f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '{state}'; END $$"
    with connection.cursor() as cursor:
        cursor.execute(fail)
        cursor.execute("CREATE TRIGGER fail BEFORE INSERT ON annotation_ranking EXECUTE FUNCTION fail()")
    refused = submit(client, seat, **answer)
    assert refused.status_code == status
    assert title in refused.content.decode().replace("&#x27;", "'")
    assert state not in refused.content.decode()
    assert ("Retry-After" in refused.headers) == (status != 500)
    seat.refresh_from_db()
    assert (seat.status, Ranking.objects.count()) == (SeatStatus.HELD, 0)
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER fail ON annotation_ranking")
    assert submit(client, seat, **answer).status_code < 400
    assert Ranking.objects.count() == 1


class Database:
    """The server's database, asked beside it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def open(self) -> Any:
        import psycopg

        return psycopg.connect(self.url, autocommit=True)

    def ask(self, *statements: str, opened: Any = None) -> list[Any]:
        with contextlib.nullcontext(opened) if opened else self.open() as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def counts(self, opened: Any = None) -> list[int]:
        """Return how many rankings, prompts, uploads and snapshots there are, and how many finished assignments."""
        tables = ("ranking", "prompt", "promptupload", "datasetsnapshot", "assignment WHERE status = 'done'")
        counts = (f"(SELECT COUNT(*) FROM annotation_{table})" for table in tables)
        return list(self.ask(f"SELECT {', '.join(counts)}", opened=opened)[0])

    def end_sessions(self) -> None:
        here = "datname = 'letters' AND pid <> pg_backend_pid()"
        self.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {here}")


@pytest.fixture
def cluster() -> Iterator[Path]:
    """A cluster outside of pytest's own folder, which other accounts than this one may not enter."""
    if not services.find("initdb"):
        pytest.skip("PostgreSQL is not installed")
    with tempfile.TemporaryDirectory(prefix="prefloop-cluster-") as folder:
        path = Path(folder, "postgres")
        path.parent.chmod(0o711)
        path.mkdir()
        services.make_cluster(path)
        yield path


@pytest.mark.slow
@pytest.mark.xdist_group("serve")
def test_a_database_that_fails_is_called_that_and_what_was_confirmed_is_there(cluster, tmp_path):
    """One server through all of it; then all that was refused is taken, the judgment once though sent many times."""
    home = tmp_path / "home"
    with small_disk(cluster.parent / "disk", "96m") as disk, (tmp_path / "log").open("w") as log:
        disk.chmod(0o777)
        if owner := services.owner_of_clusters():
            shutil.chown(disk, owner)
        with contextlib.ExitStack() as first:
            url = first.enter_context(services.running_cluster(cluster, stop=signal.SIGQUIT))
            letters = url.removesuffix("postgres") + "letters"
            Database(url).ask(f"CREATE TABLESPACE small LOCATION '{disk}'", "CREATE DATABASE letters TABLESPACE small")
            environment = environment_of(home) | {"DATABASE_URL": letters}
            begin(environment, SET_UP + MORE)
            server = first.enter_context(contextlib.ExitStack())
            process, address = server.enter_context(serving(environment, log=log))
            database, session = Database(letters), sign_in(address)
            for _ in range(3):
                rank_one(session, address)
            visitor, before = Visitor(address, session), database.counts()
            assert before[0] == before[4] == 3

            database.end_sessions()  # those that wait for the next request: nobody notices
            assert session.get(f"{address}/projects/letters/", timeout=WAIT).status_code == 200

            check_full(disk, database, visitor)
            check_read_only(database, visitor)
            check_ended_while_it_stores(database, visitor)
            assert database.counts() == before
            kept = server.pop_all()  # the server goes on, the database crashes
        with kept:
            check_words(visitor.everything(), 503, AWAY)
            assert requests.get(f"{address}/health/", timeout=WAIT).status_code == 200
            assert requests.get(f"{address}/ready/", timeout=WAIT).status_code == 503
            with services.running_cluster(cluster, stop=signal.SIGQUIT):
                assert database.counts() == before
                said = {name: answer.status_code for name, answer in visitor.everything().items()}
                assert max(said.values()) == said["draft"] == 409, said  # the task is finished
                after = database.counts()
                assert after == [before[0] + 1, before[1] + 1000, before[2] + 3, before[3] + 2, before[4] + 1]
                assert process.poll() is None
    [file] = (home / "snapshots").iterdir()  # both snapshots have the same rows; none stays of those that were refused
    assert file.name == f"{hashlib.sha256(file.read_bytes()).hexdigest()}.jsonl"


def check_full(disk: Path, database: Database, visitor: Visitor) -> None:
    """A row that fits into a page with room is still stored, so each of these is too long for that."""
    before, long = database.counts(), "".join(random.Random(7).choices(string.ascii_letters, k=5000))
    opened = database.open()  # a new connection may have to write a file into the full tablespace
    filler = fill(disk)
    check_words(
        {
            "part of a page": visitor.submit(rationale=long, **{"HX-Request": "true"}),
            "page": visitor.submit(rationale=long),
            "upload": visitor.upload(),
            "large upload": visitor.upload_large(),
            "API import": visitor.import_by_api(),
        },
        507,
        FULL,
    )
    assert database.counts(opened) == before
    opened.close()
    filler.unlink()


def check_read_only(database: Database, visitor: Visitor) -> None:
    """As a standby is, or what a provider makes of a database whose disk is nearly full."""
    database.ask("ALTER DATABASE letters SET default_transaction_read_only = on")
    database.end_sessions()
    check_words(visitor.everything(), 503, NO_WRITES)
    writable = "SET default_transaction_read_only = off"
    database.ask(writable, "ALTER DATABASE letters RESET default_transaction_read_only")
    database.end_sessions()


def check_ended_while_it_stores(database: Database, visitor: Visitor) -> None:
    """The connection is lost between the finished assignment and its judgment."""
    end = "BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END"
    database.ask(
        f"CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $${end}$$",
        "CREATE TRIGGER lose AFTER INSERT ON annotation_ranking EXECUTE FUNCTION lose()",
    )
    part, page = visitor.submit(**{"HX-Request": "true"}), visitor.submit()
    check_words({"part of a page": part, "page": page}, 503, AWAY)
    database.ask("DROP TRIGGER lose ON annotation_ranking", "DROP FUNCTION lose()")
