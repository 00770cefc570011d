"""The clock by which leases, heartbeats and waits are written and compared: the database's, as those of hosts differ.

A worker whose own clock is a minute ahead would otherwise take every run from its owner, and a web process half an hour
ahead would let every held assignment lapse.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.utils import timezone

ASKED_EVERY_SECONDS = 20.0

_asking = threading.Lock()
_asked: tuple[float, datetime] | None = None  # on this process's monotonic clock, and what the database said then
_latest = datetime.min.replace(tzinfo=UTC)


def now() -> datetime:
    """Return the time by the database's clock, which is asked every 20 seconds; SQLite has none but this machine's.

    In between the monotonic clock goes on: a process that was frozen is late until it asks again, never early, so that
    it takes nothing from others. It never goes back in one process, though an answer that took longer is later by that.
    """
    global _asked, _latest
    if connection.vendor != "postgresql":
        return timezone.now()
    with _asking:
        if _asked is None or time.monotonic() - _asked[0] > ASKED_EVERY_SECONDS:
            connection.ensure_connection()
            with connection.wrap_database_errors:  # not a statement of the request that happens to ask: none is logged
                said: datetime = connection.connection.execute("SELECT clock_timestamp()").fetchone()[0]
            _asked = time.monotonic(), said  # late by the time that the answer took
        _latest = max(_latest, _asked[1] + timedelta(seconds=time.monotonic() - _asked[0]))
        return _latest
