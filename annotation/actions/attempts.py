"""Counting refused requests of an address, minute by minute, so that too many of them wait."""

from __future__ import annotations

from django.core.cache import cache
from django.utils import timezone

from annotation.origin import network_of

MINUTE = 60


def seconds_to_wait(kind: str, address: str | None, most: int) -> int:
    """Count a refused request; return for how many seconds its address is to wait, 0 for not at all."""
    return count(kind, address, most)[1]


def count(kind: str, address: str | None, most: int) -> tuple[int, int]:
    """Count a refused request; return how many there were in this minute, and for how many seconds to wait."""
    minute, gone = divmod(int(timezone.now().timestamp()), MINUTE)
    key = f"refused:{kind.replace(' ', '-')}:{network_of(address)}:{minute}"
    cache.add(key, 0, timeout=2 * MINUTE)
    try:
        found = int(cache.incr(key))
    except ValueError:  # it went between the two calls
        return 0, 0
    return found, MINUTE - gone if found > most else 0
