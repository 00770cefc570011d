"""Log lines with the id of the request that they were written in; one JSON object each where PREFLOOP_LOG is "json"."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

_request_id: ContextVar[str] = ContextVar("request_id", default="")


@contextmanager
def answering(request_id: str) -> Iterator[None]:
    """Give each line that is written meanwhile this id."""
    before = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(before)


class WithoutStack(logging.Filter):
    """Keeps the line alone of a request that Django refuses for its form: anybody can send as many as they like."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True: no line is left out."""
        if record.name.startswith("django.security."):
            record.exc_info = record.exc_text = None
        return True


class Lines(logging.Formatter):
    """Time, level, logger, the id of the request where there is one, and what is said."""

    def format(self, record: logging.LogRecord) -> str:
        # Not `request`: Django keeps the request itself there, for whoever else handles the record.
        record.of_request = f" [{request_id}]" if (request_id := _request_id.get()) else ""
        return super().format(record)


class JsonLines(logging.Formatter):
    """The same as one JSON object, with the `fields` of the record (`extra={"fields": …}`) beside it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := _request_id.get():
            line["request_id"] = request_id
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
