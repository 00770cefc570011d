"""Odd cursors, numbers and ranges over all lists and details of the API: an answer in words, never a 5xx.

Some 1,700 of them, and in the nightly run over 2,500.
"""

from __future__ import annotations

import base64
import itertools
import re

import pytest
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from annotation.actions.snapshots import take_snapshot
from tests import NIGHTLY

pytestmark = [pytest.mark.django_db, pytest.mark.database, pytest.mark.slow]

NUMBERS = [
    *(
        "0",
        "-1",
        "1e5",
        "1.5",
        "0x1",
        "00",
        "%00",
        "%F0%9F%98%80",
        "\u0661",
        "\u00b2",
        " 1",
        "1 ",
        "NaN",
        "inf",
        "None",
    ),
    *("9" * 10, "9" * 18, "9" * 19, "9" * 30, "9" * 4299, "9" * 4301, "9" * 6000, str(2**31), str(2**63), str(2**64)),
]
POSITIONS = [
    "abc",
    "1e5",
    "\0",
    "9" * 5000,
    "2020-01-01",
    "",
    "-1",
    "1.5",
    "\u0661",
    "\ud83d".encode("utf-16", "surrogatepass").decode("latin-1"),
]
CURSORS = [
    *(base64.b64encode(f"{more}p={at}".encode()).decode() for more in ("", "r=1&", "o=7&") for at in POSITIONS),
    *(base64.b64encode(text).decode() for text in (b"o=" + b"9" * 5000, b"o=-1", b"o=x", b"\xff\xfe", b"p", b"")),
    *("%", "====", "A", "\u00e9", "a" * 10_000),
]
SIZES = ["0", "-1", "1e3", "9" * 5000, "\u00b2", "", "1001", "x"]
RANGES = [
    f"bytes={first}-{last}"
    for first, last in itertools.product(("", "0", "5", "9" * 19, "9" * 4301, "x", "-1"), ("", "0", "9" * 4301, "1.5"))
]

if NIGHTLY:
    NUMBERS += ["+1", "1_000", "1,0", "\u0967", "\uff11", "0b1", "1e400", "-0", "%0A1", str(2**53 + 1), str(10**308)]
    MORE_POSITIONS = ["0x10", "1e400", "+1", "1_000", "%", "\u0967", "NaN", "'", '"', "[]", "{}", "9" * 4301]
    CURSORS += [base64.b64encode(f"{more}p={at}".encode()).decode() for more in ("", "r=1&") for at in MORE_POSITIONS]
    SIZES += ["-9" + "9" * 30, "1.5", "\0", "\u0661"]


def operations() -> list[str]:
    """Return the address of every operation that reads, as the schema has it."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return [path for path, found in paths.items() if "get" in found]


@pytest.fixture
def client(admin) -> APIClient:
    """Authenticated without a session: two queries less for each of the requests."""
    client = APIClient(raise_request_exception=False)
    client.force_authenticate(admin)
    return client


def test_no_odd_value_of_an_address_ends_in_a_5xx(client, project, ranked_task, admin):
    snapshot = take_snapshot(project=project, by=admin)
    asked, failed = 0, []

    def ask(address: str, **headers: str) -> int:
        nonlocal asked
        asked += 1
        status = client.get(address, headers=headers).status_code
        if status >= 500:
            failed.append((status, address[:200], str(headers)[:100]))
        return status

    for path in operations():
        address = path.replace("{slug}", "letters")
        names = re.findall("{(\\w+)}", address)
        for number in NUMBERS if names else ():
            ask(re.sub("{\\w+}", number, address))
        plain = re.sub("{\\w+}", "1", address)
        for cursor in CURSORS if not names or address.endswith("/deliveries/") else ():
            ask(f"{plain}?cursor={cursor}")
        for size in SIZES:
            ask(f"{plain}?page_size={size}&page={size}&number={size}")
    download = f"/api/v1/projects/letters/snapshots/{snapshot.number}/download/"
    assert ask(download) == 200
    for header in RANGES:
        ask(download, Range=header)
    assert not failed, (len(failed), failed[:20])
    assert asked > (2500 if NIGHTLY else 1700)
