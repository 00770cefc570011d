"""Where the request comes from that is being answered, for the audit log; nothing outside of a request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Origin:
    """`via` is "page", "token pf_…" or, outside of a request, "server": a command or a worker."""

    address: str | None = None
    via: str = "server"
    user_id: int | None = None


_current: ContextVar[Origin | None] = ContextVar("origin", default=None)


def current() -> Origin:
    """Return the origin of the request that is being answered."""
    return _current.get() or Origin()


@contextmanager
def answering(origin: Origin) -> Iterator[Origin]:
    """Let `current` return this origin meanwhile."""
    before = _current.set(origin)
    try:
        yield origin
    finally:
        _current.reset(before)
