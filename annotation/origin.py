"""Where the request comes from that is being answered, for the audit log; nothing outside of a request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

IPV6_NETWORK = 64  # bits: a household or a machine has so many addresses of its own


@dataclass
class Origin:
    """`via` is "page", "token pf_…" or, outside of a request, "server": a command or a worker."""

    address: str | None = None
    via: str = "server"
    user_id: int | None = None
    reads_names: dict[int, bool] = field(default_factory=dict)  # by project; see annotation.pseudonyms


def network_of(address: str | None) -> str | None:
    """Return what tries of an address are counted by: of IPv6 the first address of its network; None for none."""
    try:
        ip = ip_address((address or "").partition("%")[0])
    except ValueError:
        return None
    return str(ip if isinstance(ip, IPv4Address) else IPv6Address(int(ip) >> IPV6_NETWORK << IPV6_NETWORK))


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
