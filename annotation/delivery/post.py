"""Requests to addresses that users entered: signed, bounded in time and size, never into a private network.

The signature is that of https://www.standardwebhooks.com, HMAC-SHA256 over "id.timestamp.body": any of its libraries
can check it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import socket
import ssl
import threading
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from annotation.outgoing import WEBHOOK, NotAllowed, checked_address

SILENCE_SECONDS = WEBHOOK.silence_seconds
WHOLE_SECONDS = WEBHOOK.whole_seconds  # a slow answer must not hold up the next delivery
SECRET_MARK = "whsec_"


@dataclass(frozen=True)
class HookResponse:
    """What an address answered. `status` is None where it did not; `hopeless` where another request would not help."""

    status: int | None
    text: str
    hopeless: bool = False

    @property
    def is_good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def signature(secret: str, message_id: str, timestamp: int, body: str) -> str:
    """Return the value of the header webhook-signature."""
    key = base64.b64decode(secret.removeprefix(SECRET_MARK))
    digest = hmac.digest(key, f"{message_id}.{timestamp}.{body}".encode(), hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def signed_headers(secret: str, message_id: str, timestamp: int, body: str) -> dict[str, str]:
    """Return the headers of a request, its signature among them."""
    return {
        "content-type": "application/json",
        "user-agent": "Prefloop",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, message_id, timestamp, body),
    }


def post(url: str, headers: dict[str, str], body: str) -> HookResponse:
    """Send a POST request and return the answer. Redirects are not followed: their target is not checked."""
    try:
        connection = _Connection(urlsplit(url))
    except NotAllowed as why:
        return HookResponse(None, str(why), hopeless=True)
    except (OSError, ValueError) as problem:
        return HookResponse(None, f"The name was not found: {problem}")
    late = f"No answer within {WHOLE_SECONDS:g} seconds."
    limit = threading.Timer(WHOLE_SECONDS, connection.give_up)
    limit.daemon = True
    limit.start()
    try:
        connection.request("POST", connection.target, body.encode(), headers)
        response = connection.getresponse()
        if connection.gave_up:  # what came until then reads as a whole status line
            return HookResponse(None, late)
        return HookResponse(response.status, _beginning(response))
    except (OSError, http.client.HTTPException) as problem:
        return HookResponse(None, late if connection.gave_up else f"No answer: {problem or type(problem).__name__}")
    finally:
        limit.cancel()
        connection.close()


def _beginning(response: http.client.HTTPResponse) -> str:
    """Return the beginning of the body; empty where it cannot be read, as the status is what counts."""
    try:
        text = response.read(WEBHOOK.most_bytes).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        text = ""
    return text.replace("\0", "")  # PostgreSQL stores none


class _Connection(http.client.HTTPConnection):
    """A connection to the address that was checked, even if the name resolves to another one a moment later."""

    def __init__(self, url: SplitResult) -> None:
        self.is_secure = url.scheme == "https"
        port = url.port or (443 if self.is_secure else 80)
        self.default_port = 443 if self.is_secure else 80
        self.address = checked_address(url.hostname or "", port, private=settings.WEBHOOK_PRIVATE_ADDRESSES)
        super().__init__(url.hostname or "", port, timeout=SILENCE_SECONDS)
        self.target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self.line: socket.socket | None = None
        self.gave_up = False

    def connect(self) -> None:
        self.line = self.sock = socket.create_connection((self.address, self.port), self.timeout)
        if self.is_secure:
            self.line = self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)

    def give_up(self) -> None:
        self.gave_up = True
        if self.line is not None:
            with contextlib.suppress(OSError):
                self.line.shutdown(socket.SHUT_RDWR)
