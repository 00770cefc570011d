"""Bounds of the number of connections, in a server whose application does nothing."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from frontend.serving import connections
from frontend.serving.connections import BoundedConnection

PER_ADDRESS, ALL = 10, 25


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


@pytest.fixture
def port(monkeypatch, gate) -> Iterator[int]:
    """A server that takes 10 connections of an address and 25 of all; `/wait` answers when `gate` is set."""
    few = dataclasses.replace(
        connections.LIMITS, connections_per_address=PER_ADDRESS, connections=ALL, head_seconds=600
    )
    monkeypatch.setattr(connections, "LIMITS", few)
    connections._by_address.clear()

    async def application(scope, _receive, send) -> None:
        if scope["path"] == "/wait":
            await asyncio.to_thread(gate.wait, 60)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    config = uvicorn.Config(
        application,
        port=0,
        http=BoundedConnection,
        lifespan="off",
        log_level="error",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=600,
    )
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)  # clients may come before the thread has begun
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        gate.set()
        server.should_exit = True
        thread.join(30)
    connections._by_address.clear()


@pytest.fixture
def connect(port):
    """Open a connection from an address of loopback."""
    with contextlib.ExitStack() as opened:

        def one(address: str = "127.0.0.1") -> socket.socket:
            return opened.enter_context(socket.create_connection(("127.0.0.1", port), 60, (address, 0)))

        yield one


def answers(client: socket.socket) -> bool:
    """Return whether the server answers on a connection; False where it has closed it."""
    try:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return client.recv(1000).startswith(b"HTTP/1.1 200")
    except (ConnectionResetError, BrokenPipeError):
        return False


def test_an_address_with_too_many_loses_the_oldest_idle_and_the_newest_is_served(connect):
    clients = [connect() for _ in range(PER_ADDRESS + 5)]
    assert answers(clients[-1])
    assert [answers(client) for client in clients[:5]] == [False] * 5
    assert all(answers(client) for client in clients[5:])


def test_a_connection_that_is_being_answered_is_not_the_one_that_goes(connect, gate):
    busy = connect()
    busy.sendall(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
    idle = connect()
    assert answers(idle)  # the request before it has been taken, too
    others = [connect() for _ in range(PER_ADDRESS)]
    assert answers(others[-1])
    assert not answers(idle)
    gate.set()
    assert busy.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_full_server_makes_room_for_one_more_at_the_cost_of_the_busiest_address(connect):
    crowd = [connect("127.0.0.2") for _ in range(PER_ADDRESS)]
    others = [connect(f"127.0.0.{number}") for number in (3, 4, 5) for _ in range(5)]
    assert all(answers(client) for client in (*crowd, *others))
    newcomer = connect("127.0.0.9")
    assert answers(newcomer)
    assert not answers(crowd[0])
    assert all(answers(client) for client in (*crowd[1:], *others))
