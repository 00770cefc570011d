"""What an annotator may see instead of row numbers, and chance that nobody else can draw again.

Numbers of rows say what was made when: which answer is the newer version's, which task is a check. A key is a
permutation of 52 bits of the number (a balanced Feistel network of eight rounds, whose functions are BLAKE2s under the
server's secret key): it says nothing, needs no column, and is exact in JSON of JavaScript.
"""

from __future__ import annotations

import hashlib
import hmac
import random
from functools import lru_cache
from uuid import UUID

from django.conf import settings

ROUNDS, HALF = 8, 26
MASK = (1 << HALF) - 1


def key_of(number: int, purpose: str) -> int:
    """Return the key that stands for a row of this purpose: from 0 to 2^52 - 1."""
    left, right = number >> HALF, number & MASK
    secret = _round_key(str(settings.SECRET_KEY), purpose)
    for turn in range(ROUNDS):
        left, right = right, left ^ _mixed(right, turn, secret)
    return left << HALF | right


def number_of(key: int, purpose: str) -> int:
    """Return the row's number that a key stands for; a made-up key gives some other number."""
    if not 0 <= key < 1 << 2 * HALF:
        return 0
    left, right = key >> HALF, key & MASK
    secret = _round_key(str(settings.SECRET_KEY), purpose)
    for turn in reversed(range(ROUNDS)):
        left, right = right ^ _mixed(left, turn, secret), left
    return left << HALF | right


def uuid_of(*name: object) -> UUID:
    """Return a UUID of this name that only this server can make."""
    return UUID(bytes=_secret_digest("uuid", name)[:16], version=4)


def dice(*name: object) -> random.Random:
    """Return a source of chance that is the same for this name each time and that only this server knows."""
    return random.Random(_secret_digest("dice", name))


def _secret_digest(purpose: str, name: tuple[object, ...]) -> bytes:
    return hmac.digest(settings.SECRET_KEY.encode(), repr((purpose, *map(str, name))).encode(), "sha256")


def _mixed(half: int, turn: int, secret: bytes) -> int:
    message = half.to_bytes(4, "big") + bytes([turn])
    digest = hashlib.blake2s(message, key=secret, digest_size=4).digest()
    return int.from_bytes(digest, "big") & MASK


@lru_cache
def _round_key(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), f"key of {purpose}".encode(), "sha256")
