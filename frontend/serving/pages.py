"""Django's WSGI application behind an ASGI server: whole requests in, whole answers out, a few threads between.

A thread is held only while Django computes. Bodies are received before it is taken and answers are sent after it is
free, so neither a slow sender nor a slow reader can hold one. Threads keep their database connections.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from frontend.serving.bodies import Gone, Places, Receive, RequestRefused, receive_body
from frontend.serving.limits import LIMITS
from frontend.serving.metrics import REFUSED
from frontend.serving.storage_errors import storage_refusal

logger = logging.getLogger(__name__)
Send = Callable[[dict[str, Any]], Awaitable[None]]
Environ = dict[str, Any]
PIECE = 256 * 1024  # bytes of a file that are read at once


class FileToSend:
    """The `wsgi.file_wrapper` of PEP 3333: an answer that is a file, read by the event loop's helper threads."""

    def __init__(self, file: IO[bytes], _block_size: int = PIECE) -> None:
        self.file = file

    def read(self) -> bytes:
        return self.file.read(PIECE)

    def close(self) -> None:
        self.file.close()


@dataclass
class PageAnswer:
    """Status and headers, and either all of the body, or a file of it that is still to be read."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    file: FileToSend | None = None
    stream: Iterable[bytes] | None = None  # not computed yet


class Pages:
    """The ASGI application for HTTP."""

    def __init__(self, application: Callable[[Environ, Any], Any], *, threads: int) -> None:
        self.application = application
        self.threads = ThreadPoolExecutor(threads, thread_name_prefix="page")
        # Exports are computed while they are sent: long, rare, and never in the way of pages.
        self.streams = ThreadPoolExecutor(2, thread_name_prefix="stream")
        self.files = ThreadPoolExecutor(4, thread_name_prefix="file")
        self.waiting = Places(LIMITS.waiting, LIMITS.waiting_per_address)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        address = scope["client"][0] if scope.get("client") else ""
        try:
            headers = dict(scope["headers"])
            body, length = await receive_body(scope["path"], headers, receive, address)
            try:
                with self.waiting.one_for(address):
                    answer = await self._in(self.threads, self._run, environ_of(scope, body, length))
                if answer.stream is not None:
                    answer.file = await self._in(self.streams, spooled, answer.stream)
            finally:
                body.close()
        except Gone:
            logger.info("%s %s: the connection ended before the request did", scope["method"], scope["path"])
            return
        except RequestRefused as refused:
            await send_refusal(send, refused)
            return
        except Exception as error:
            # Of Django only what is computed while it is sent; and the files that a long body waits in.
            refusal = storage_refusal(error)
            if refusal is None:
                raise
            logger.exception("%s %s", scope["method"], scope["path"])
            words = f"{refusal.title}. {refusal.words}"
            await send_refusal(send, RequestRefused(refusal.status, refusal.title, words))
            return
        await self._send(answer, receive, send)

    @staticmethod
    async def _in(threads: ThreadPoolExecutor, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)

    def _run(self, environ: Environ) -> PageAnswer:
        """Let Django answer; close its response in this thread, which holds the database connection."""
        started: list[PageAnswer] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            started[:] = [PageAnswer(int(status[:3]), encoded)]

        response = self.application(environ, start_response)
        answer = started[0]
        if isinstance(response, FileToSend):
            answer.file = response
        elif getattr(response, "streaming", False):
            answer.stream = response
        else:
            try:
                answer.body = b"".join(response)
            finally:
                response.close()
        return answer

    async def _send(self, answer: PageAnswer, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        if answer.file is None:
            await send(start)
            await send({"type": "http.response.body", "body": answer.body})
            return
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            await send(start)
            while piece := await self._in(self.files, answer.file.read):
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            await self._in(self.files, answer.file.close)


async def disconnected(receive: Receive) -> None:
    """Return once the client has gone; a request without a body has its empty body still to come."""
    while (await receive())["type"] != "http.disconnect":
        pass


def spooled(stream: Iterable[bytes]) -> FileToSend:
    """Return the whole stream in a temporary file, at its beginning."""
    file = SpooledTemporaryFile(max_size=2**20)  # noqa: SIM115  # closed when it is sent
    try:
        for piece in stream:
            file.write(piece)
    except BaseException:
        file.close()
        raise
    finally:
        stream.close()  # type: ignore[attr-defined]
    file.seek(0)
    return FileToSend(file)


def environ_of(scope: dict[str, Any], body: IO[bytes], length: int) -> Environ:
    """Return the WSGI environ (PEP 3333) of a request; the body's length is what was received.

    Headers with an underscore are left out: they would pass for those with a hyphen.
    """
    host, port = scope.get("server") or ("localhost", 80)
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 0),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": scope["client"][0] if scope.get("client") else "",
        "CONTENT_LENGTH": str(length),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileToSend,
    }
    for raw, value in scope["headers"]:
        if b"_" in raw or raw in (b"content-length", b"transfer-encoding"):
            continue
        name = raw.decode("latin-1").upper().replace("-", "_")
        name = name if name == "CONTENT_TYPE" else f"HTTP_{name}"
        text = value.decode("latin-1")
        if name in environ:
            text = environ[name] + ("; " if name == "HTTP_COOKIE" else ",") + text
        environ[name] = text
    return environ


async def send_refusal(send: Send, refused: RequestRefused) -> None:
    """Answer in plain words and close the connection, of which the rest would not be a request."""
    REFUSED.labels(str(refused.status)).inc()
    body = refused.words.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *([(b"retry-after", b"2")] if refused.status in (408, 429, 503, 507) else []),
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
