"""What one client, one address and all of them together may take of the server."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True)
class Limits:
    """Bounds of connections and requests; each can be set by name in PREFLOOP_LIMITS, as in `body_seconds=60`."""

    head_seconds: int = 10  # from the first byte of a request, or of a connection, to the end of its headers
    head_bytes: int = 32 * 1024
    body_pause_seconds: int = 20  # without a single byte
    body_seconds: int = 60  # for the whole body, and one more for every `body_slowest` bytes of it
    body_slowest: int = 4 * 1024  # bytes a second
    body_bytes: int = 2 * 2**20  # of a page or an API call
    anonymous_body_bytes: int = 64 * 1024  # without a session or a token
    upload_bytes: int = 2**30 + 2**20  # where files are taken (`takes_uploads`): the largest file and its form
    memory_bytes: int = 64 * 1024  # of one body; what is longer waits in a temporary file
    bodies: int = 256  # that are being received at the same time
    bodies_per_address: int = 64
    large_bytes: int = 64 * 2**20  # a body that is longer takes one of few places, as its file may fill the disk
    large_bodies: int = 8  # that are being received at the same time
    large_bodies_per_address: int = 4
    waiting: int = 512  # whole requests that wait for a page thread
    waiting_per_address: int = 128
    connections: int = 4096
    connections_per_address: int = 1024
    pipelined: int = 32  # requests of a connection that wait behind the one that is answered; browsers send none
    stalled_seconds: int = 30  # a reader that takes nothing for so long is cut off
    sockets_per_person: int = 20
    socket_bytes: int = 64 * 1024  # that a page may send on a socket in a minute, its head among them

    @classmethod
    def from_environment(cls) -> Limits:
        """Return the bounds of this process. Raises ImproperlyConfigured for a name or number that is none."""
        text, names = os.environ.get("PREFLOOP_LIMITS", ""), [field.name for field in dataclasses.fields(cls)]
        values: dict[str, int] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, number = part.partition("=")
            if name not in names or not number.isdecimal() or not int(number):
                raise ImproperlyConfigured(
                    f"PREFLOOP_LIMITS: {part!r} is not name=number with a whole number above 0 and one of the names "
                    f"{', '.join(names)}."
                )
            values[name] = int(number)
        return cls(**values)


LIMITS = Limits.from_environment()
