"""What PostgreSQL reports of its disk, locks and end: the server answers with 507 or 503, and nothing is stored.

`test_failing_disk.py` shows the same of SQLite.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client

from annotation.models import Assignment, Ranking, SeatStatus
from tests.annotation.test_work import submit

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
