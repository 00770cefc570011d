"""A request's body, received whole in the event loop before a page thread is taken."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from django.conf import settings
from django.urls import Resolver404, resolve

from annotation.uploads import are_taken_by
from frontend.serving.limits import LIMITS

Receive = Callable[[], Awaitable[dict[str, Any]]]
Headers = dict[bytes, bytes]
SESSION = f"{settings.SESSION_COOKIE_NAME}=".encode()


class RequestRefused(Exception):
    """Raised for a request that is not passed on; the message is for the client."""

    def __init__(self, status: int, reason: str, words: str) -> None:
        super().__init__(words)
        self.status, self.reason, self.words = status, reason, words


class Gone(Exception):
    """The connection ended before the request did: nothing may be made of what came."""


class Places:
    """A number of places that all share, of which one address has only some."""

    def __init__(self, total: int, per_address: int) -> None:
        self.total, self.per_address = total, per_address
        self.taken: Counter[str] = Counter()

    @contextmanager
    def one_for(self, address: str) -> Iterator[None]:
        """Hold a place. Raises RequestRefused with 429 where this address has too many, with 503 where all have."""
        if self.taken[address] >= self.per_address:
            raise RequestRefused(
                429, "Too Many Requests", "Too many requests from your address at once. Try again shortly."
            )
        if self.taken.total() >= self.total:
            raise RequestRefused(503, "Service Unavailable", "The server is busy. Try again shortly.")
        self.taken[address] += 1
        try:
            yield
        finally:
            self.taken[address] -= 1
            if not self.taken[address]:
                del self.taken[address]


_receiving = Places(LIMITS.bodies, LIMITS.bodies_per_address)
_receiving_large = Places(LIMITS.large_bodies, LIMITS.large_bodies_per_address)


async def receive_body(path: str, headers: Headers, receive: Receive, address: str) -> tuple[IO[bytes], int]:
    """Return the whole body, at its beginning, and its length in bytes.

    Raises RequestRefused for one that is too long, too slow or shorter than its Content-Length says, and Gone where the
    connection ended first.
    """
    declared, chunked = _declared(headers), b"transfer-encoding" in headers
    if not declared and not chunked:
        return BytesIO(), 0
    most = _most_bytes(path, headers, declared)
    if declared is not None and declared > most:
        raise _too_long(most)
    message = await _next(receive, LIMITS.body_pause_seconds)
    if not message.get("more_body"):  # nearly always: it came with the headers
        body = message.get("body", b"")
        return BytesIO(_checked(body, declared, most)), len(body)
    with _receiving.one_for(address), ExitStack() as places:
        return await _receive_rest(message, receive, declared, most, lambda: _take_large(places, address))


def _take_large(places: ExitStack, address: str) -> None:
    places.enter_context(_receiving_large.one_for(address))


async def _receive_rest(
    message: dict[str, Any], receive: Receive, declared: int | None, most: int, take_large: Callable[[], None]
) -> tuple[IO[bytes], int]:
    """Return the body with what follows `message`; `take_large` is called once, before it is longer than most are."""
    file = SpooledTemporaryFile(max_size=LIMITS.memory_bytes)  # noqa: SIM115  # the request closes it
    clock, length = asyncio.get_running_loop().time, 0
    began = clock()
    try:
        while True:
            piece = message.get("body", b"")
            length += len(piece)
            if length > most:
                raise _too_long(most)
            if length > LIMITS.large_bytes >= length - len(piece):
                take_large()
            file.write(piece)
            if not message.get("more_body"):
                break
            left = began + LIMITS.body_seconds + length / LIMITS.body_slowest - clock()
            message = await _next(receive, min(LIMITS.body_pause_seconds, left))
        _checked(b"", None if declared is None else declared - length, most)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file, length


async def _next(receive: Receive, seconds: float) -> dict[str, Any]:
    try:
        async with asyncio.timeout(seconds):
            message = await receive()
    except TimeoutError:
        raise RequestRefused(
            408, "Request Timeout", "The request's body came too slowly. Nothing was stored."
        ) from None
    if message["type"] != "http.request":
        raise Gone
    return message


def _checked(body: bytes, declared: int | None, most: int) -> bytes:
    if len(body) > most:
        raise _too_long(most)
    if declared is not None and declared != len(body):
        raise RequestRefused(
            400, "Bad Request", "The body is not as long as its Content-Length says. Nothing was stored."
        )
    return body


def _declared(headers: Headers) -> int | None:
    text = headers.get(b"content-length")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 15:
        raise RequestRefused(400, "Bad Request", "Content-Length is no number of bytes.")
    return int(text)


def _most_bytes(path: str, headers: Headers, declared: int | None) -> int:
    if b"authorization" not in headers and SESSION not in headers.get(b"cookie", b""):
        return LIMITS.anonymous_body_bytes
    if declared is not None and declared <= LIMITS.body_bytes:
        return LIMITS.body_bytes
    try:
        takes_files = are_taken_by(resolve(path).func)
    except Resolver404:
        takes_files = False
    return LIMITS.upload_bytes if takes_files else LIMITS.body_bytes


def _too_long(most: int) -> RequestRefused:
    size = f"{most // 2**20} MB" if most >= 2**20 else f"{most // 1024} kB"
    return RequestRefused(413, "Content Too Large", f"The request is longer than the {size} that are taken here.")
