"""The rule for requests that go out: to which addresses, for how long, how much is read, and that none is redirected.

Who may name an address decides which rule holds for it:

- webhooks: project admins name them, so they have to be public (`checked_address`), unless the operator allows private
  ones; the connection goes to the address that was checked.
- servers of models: project admins choose among those that the operator lists (`model_server`), each with a key of its
  own that goes nowhere else.
- the hub: the operator names it, for the pages and the training processes alike (`checked_url`, when the server
  starts). Its own client asks, and follows its redirects to its storage.
- the identity provider: the operator names it, and it may name further addresses of the same origin only, or of hosts
  that the operator lists (`of_identity_provider`).

Redirects are never followed (`NoRedirect`): their target is not checked. Standard library only, as recipes use it.
"""

from __future__ import annotations

import ipaddress
import socket
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import SplitResult, urlsplit

SERVERS_VARIABLE = "PREFLOOP_SERVERS"


@dataclass(frozen=True)
class Bounds:
    """How long a request may take and how much of its answer is read."""

    silence_seconds: float  # without a byte
    whole_seconds: float
    most_bytes: int


WEBHOOK = Bounds(silence_seconds=10.0, whole_seconds=20.0, most_bytes=2000)
MODEL_SERVER = Bounds(silence_seconds=600.0, whole_seconds=1200.0, most_bytes=64 * 2**20)

# Ranges that look public and stand for another address, which may be a private one.
_DISGUISES = [
    ipaddress.ip_network(net)
    for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "::ffff:0:0:0/96", "fec0::/10")
]
# Special by IANA's registries, which Python's `is_global` has in newer versions only, or not at all: the dummy address
# and others of 192.0.0.0/24, the relays of 6to4, addresses for documentation, and segment routing.
_SPECIAL = [ipaddress.ip_network(net) for net in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "5f00::/16")]


class NotAllowed(ValueError):
    """No request may go to the address, or it is none; the message names it."""


@dataclass(frozen=True)
class ModelServer:
    """A server that the operator lists, and the environment variable that holds its key; empty for none."""

    url: str
    key_variable: str = ""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: they would send the request, with its key, to an address that was not checked."""

    def redirect_request(self, *_: Any) -> None:
        return None


def checked_url(text: str) -> SplitResult:
    """Return the parts of an address of a server. Raises NotAllowed, with what to put right."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise NotAllowed(f"{text!r} is no address; its port is a number from 1 to 65535") from None
    if text != text.strip() or not text.isprintable() or " " in text:
        raise NotAllowed(f"{text!r} has spaces or characters that are not shown")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotAllowed(f"should be an address such as http://localhost:8000/v1, not {text}")
    if port == 0:
        raise NotAllowed(f"{text!r} is no address; its port is a number from 1 to 65535")
    if "@" in parts.netloc:
        raise NotAllowed("should hold no name and no password: addresses are shown on pages")
    return parts


def model_servers(environment: Mapping[str, str]) -> list[ModelServer]:
    """Return the servers in PREFLOOP_SERVERS: addresses separated by commas, each perhaps with `=` and its key's name.

    Raises NotAllowed for an entry that is no address, or has a query or a fragment: paths are appended to it.
    """
    servers = []
    for entry in filter(None, (part.strip() for part in environment.get(SERVERS_VARIABLE, "").split(","))):
        url, _, variable = entry.partition("=")
        parts = checked_url(url)
        if parts.query or parts.fragment or "?" in url or (variable and not variable.isidentifier()):
            raise NotAllowed(f"{SERVERS_VARIABLE}: {entry!r} is not an address, or address=VARIABLE_OF_ITS_KEY")
        servers.append(ModelServer(url.rstrip("/"), variable))
    return servers


def model_server(address: str, environment: Mapping[str, str]) -> ModelServer:
    """Return the listed server of an address. Raises NotAllowed, with those that there are."""
    listed = model_servers(environment)
    for server in listed:
        if server.url == address.rstrip("/"):
            return server
    if not listed:
        raise NotAllowed(f"no server may be asked here: the operator of Prefloop lists them in {SERVERS_VARIABLE}")
    raise NotAllowed(
        f"should be one of {', '.join(server.url for server in listed)}; the operator of Prefloop adds others to "
        f"{SERVERS_VARIABLE}"
    )


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address. Raises NotAllowed where it is none."""
    parts = checked_url(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def of_identity_provider(url: str, origins: Sequence[str]) -> None:
    """Raise NotAllowed unless an address is of one of these origins."""
    if origin_of(url) not in origins:
        raise NotAllowed(
            f"{origin_of(url)} is not the identity provider; where it belongs to it, the operator of Prefloop "
            "adds it to PREFLOOP_OIDC_HOSTS"
        )


def status_words(status: int) -> str:
    """Return a status as HTTP names it, "404 Not Found". What a server writes beside it is not repeated."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def checked_address(host: str, port: int, *, private: bool = False) -> str:
    """Resolve a name and return one of its addresses. Raises NotAllowed where one is not public, unless `private`."""
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not private:
        for address in found:
            if not is_public(address):
                raise NotAllowed(f"{host} is {address}, which is not a public address.")
    return found[0]


def is_public(address: str) -> bool:
    """Return whether an IP address is reachable from everywhere and stands for no private one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif any(ip in net for net in _DISGUISES):
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in net for net in _SPECIAL)
