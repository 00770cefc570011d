"""What a person is told where the disk is full or takes no data, or where the database does not answer.

All of it is for the operator, and no defect of the program: the person learns that, and what becomes of their work.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from django.db import Error as DatabaseProblem


class StorageRefusal(NamedTuple):
    """What a request is answered with: the HTTP status, after how many seconds to try again, and the words."""

    status: int
    retry_after: int
    title: str
    words: str


FULL = StorageRefusal(
    507,
    60,
    "The server's disk is full",
    "What you sent could not be stored; everything that was confirmed before is. Keep this page open and tell those "
    "who run the server. Send it again once there is room: what is sent twice is stored once.",
)
NO_WRITES = StorageRefusal(
    503,
    60,
    "The server's disk takes no data",
    "What you sent could not be stored; everything that was confirmed before is. Keep this page open and tell those "
    "who run the server. Send it again later: what is sent twice is stored once.",
)
AWAY = StorageRefusal(
    503,
    5,
    "The database is not available",
    "What you sent may not be stored. Keep this page open and send it again in a moment: what is sent twice is stored "
    "once.",
)
BUSY = StorageRefusal(
    503,
    5,
    "The database could not finish this",
    "Nothing of what you sent was stored. Keep this page open and send it again in a moment: what is sent twice is "
    "stored once.",
)

OF_ERRNO = {errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EIO: NO_WRITES, errno.EROFS: NO_WRITES}
OF_SQLITE = {  # the low byte of its extended codes
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR: NO_WRITES,
    sqlite3.SQLITE_READONLY: NO_WRITES,
    sqlite3.SQLITE_CANTOPEN: NO_WRITES,
    sqlite3.SQLITE_BUSY: AWAY,
    sqlite3.SQLITE_LOCKED: AWAY,
}
OF_SQLSTATE = {  # https://www.postgresql.org/docs/current/errcodes-appendix.html
    "53100": FULL,  # disk_full
    "53200": BUSY,  # out_of_memory
    "53400": FULL,  # configuration_limit_exceeded: of temporary files
    "58000": NO_WRITES,  # system_error
    "58030": NO_WRITES,  # io_error
    "58P01": NO_WRITES,  # undefined_file: one of the database's own is missing
    "25006": NO_WRITES,  # read_only_sql_transaction: a standby, or a server that was set to it
    "53300": AWAY,  # too_many_connections
    "40001": BUSY,  # serialization_failure
    "40P01": BUSY,  # deadlock_detected
    "55P03": BUSY,  # lock_not_available
    "57014": BUSY,  # query_canceled: after the statement_timeout of the operator
}
AWAY_CLASSES = ("08", "57P")  # connection exceptions; shutdowns, and sessions that the server ended


def storage_refusal(error: BaseException | None) -> StorageRefusal | None:
    """Return what to answer where an error, or one that led to it, is of the disk or the database; None elsewhere."""
    return next(filter(None, map(_refusal_of, _chain(error))), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _refusal_of(error: BaseException) -> StorageRefusal | None:
    if isinstance(error, OSError):
        return OF_ERRNO.get(error.errno or 0)
    if isinstance(error, sqlite3.Error):
        return OF_SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    driver = error.__cause__ if isinstance(error, DatabaseProblem) else None
    if driver is None or isinstance(driver, sqlite3.Error):
        return None
    state = getattr(driver, "sqlstate", None)
    if state is None:  # psycopg: no connection, so no server that could give a code
        return AWAY if type(error).__name__ == "OperationalError" else None
    return AWAY if state.startswith(AWAY_CLASSES) else OF_SQLSTATE.get(state)
