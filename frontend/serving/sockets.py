"""Sockets of uvicorn with a bound that uvicorn has none of: how much a page may send."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from frontend.serving.limits import LIMITS

MINUTE = 60.0


class BoundedSocket(WebSocketsSansIOProtocol):
    """A WebSocket that ends where its page sends much: all that it has to send are answers to pings.

    Pings and answers to none are frames that the application never sees. Each costs a turn of the event loop and a
    ping an answer as well: two sockets that sent nothing else held up all other requests for seconds.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._minute, self._sent = self.loop.time(), 0

    def data_received(self, data: bytes) -> None:
        """Take what came, the head of the request first; the HTTP connection has bounded that."""
        now = self.loop.time()
        if now - self._minute >= MINUTE:
            self._minute, self._sent = now, 0
        self._sent += len(data)
        if self._sent <= LIMITS.socket_bytes:
            super().data_received(data)
        else:
            self.transport.abort()
