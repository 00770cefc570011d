"""Connections of uvicorn with bounds that uvicorn has none of: heads, idle and stalled clients, and their number."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from frontend.serving.limits import LIMITS

# Open HTTP connections by client address, the longest open first. Only touched in the server's event loop.
_by_address: dict[str, dict[BoundedConnection, None]] = defaultdict(dict)
TOO_LONG = b"The headers of the request are too long."


class TooManyAhead(Exception):
    """Raised into the parser, which ends there and has the client told that its request is none."""


class BoundedConnection(HttpToolsProtocol):
    """An HTTP connection that ends where its client sends a head too slowly or too long, or stops reading.

    Also tells the request that is being answered when its client has gone. uvicorn 0.54 tells only the newest of
    several pipelined requests, so that the one that runs writes to a closed transport.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._answering: RequestResponseCycle | None = None
        self._in_head, self._head_bytes = False, 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stalled_timer: asyncio.TimerHandle | None = None

    @property
    def _is_idle(self) -> bool:
        return self._answering is None or self._answering.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        _by_address[self._address][self] = None
        if len(_by_address[self._address]) > LIMITS.connections_per_address or self._all() > LIMITS.connections:
            self._make_room()
        self._head_timer = self.loop.call_later(LIMITS.head_seconds, self._head_is_late)

    @staticmethod
    def _all() -> int:
        return sum(map(len, _by_address.values()))

    def _make_room(self) -> None:
        """Close the longest open connection of the busiest address that answers nothing; else this new one."""
        own = _by_address[self._address]
        crowd = own if len(own) > LIMITS.connections_per_address else max(_by_address.values(), key=len)
        idle = next((connection for connection in crowd if connection is not self and connection._is_idle), self)
        idle._forget()
        idle.transport.abort()

    def _forget(self) -> None:
        if connections := _by_address.get(self._address):
            connections.pop(self, None)
            if not connections:
                del _by_address[self._address]
        for timer in (self._head_timer, self._stalled_timer):
            if timer:
                timer.cancel()
        self._head_timer = self._stalled_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        waiting = [cycle for cycle, _ in self.pipeline]
        self.pipeline.clear()
        for cycle in filter(None, (self._answering, *waiting)):
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing() or self not in _by_address.get(self._address, ()):  # now a socket's transport
            return
        if not self._in_head and self.cycle is not None and not (self._is_idle and not self.timeout_keep_alive_task):
            self._head_bytes = 0
            self._stop_head_timer()
            return
        self._head_bytes += len(data)
        if self._head_bytes > LIMITS.head_bytes:
            self._refuse_head()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(LIMITS.head_seconds, self._head_is_late)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= LIMITS.pipelined:
            raise TooManyAhead
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header of the head alone. uvicorn adds those that follow a chunked body to it, however many there are:
        they would fill the memory, and count as headers that no proxy in front has looked at.
        """
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        self._forget()
        super().handle_websocket_upgrade()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _stop_head_timer(self) -> None:
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self._is_idle:  # the head of a pipelined request waits behind the one that is answered
            self._head_timer = self.loop.call_later(LIMITS.head_seconds, self._head_is_late)
        elif not self.transport.is_closing():
            self.transport.abort()

    def _refuse_head(self) -> None:
        if self._is_idle:
            head = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\nconnection: close\r\n"
            self.transport.write(head + b"content-length: %d\r\n\r\n" % len(TOO_LONG) + TOO_LONG)
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled_timer is None:
            self._stalled_timer = self.loop.call_later(LIMITS.stalled_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled_timer and not self.transport.is_closing():
            self._stalled_timer.cancel()
            self._stalled_timer = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing() and self._stalled_timer is None:
            # What was written may still wait for a reader that takes nothing.
            self._stalled_timer = self.loop.call_later(LIMITS.stalled_seconds, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()
