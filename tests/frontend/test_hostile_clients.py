"""Clients that send or read slowly, too much, or half: nobody else waits, and nothing half is stored."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import pytest
import requests
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.frontend.test_serve import ROOT, SET_UP, begin, environment_of, serving, sign_in

pytestmark = pytest.mark.slow

PATIENCE = 60  # seconds; what these tests forbid lasts for ever
LIMITS = (
    "body_pause_seconds=4,head_seconds=3,stalled_seconds=3,sockets_per_person=3,"
    "large_bytes=8000000,large_bodies_per_address=2"
)
MORE = """
Membership = project.memberships.model
for name in ("writer", "leaver"):
    user = User.objects.create_user(name, password="secret words")
    Membership.objects.create(project=project, user=user, role="annotator")
task = tasks.open_task(prompt=prompt, kind="reference", candidates=[], seats=1, priority=9)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of a server whose clients are given a few seconds instead of many."""
    environment = environment_of(tmp_path_factory.getbasetemp() / "hostile") | {"PREFLOOP_LIMITS": LIMITS}
    begin(environment, SET_UP + MORE)
    path = tmp_path_factory.getbasetemp() / "hostile.log"
    with path.open("w") as log, serving(environment, log=log) as (process, url):
        yield url
        assert process.poll() is None


@pytest.fixture(scope="module")
def database(server, tmp_path_factory) -> str:
    return str(tmp_path_factory.getbasetemp() / "hostile" / "db.sqlite3")


def connect(url: str, *, window: int = 0) -> socket.socket:
    address = urlsplit(url)
    client = socket.socket()
    if window:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    client.settimeout(PATIENCE)
    client.connect((address.hostname, address.port))
    return client


def everything(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    pieces = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            pieces += piece
    return pieces


def request(method: str, path: str, *lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode() + body


def largest_file(url: str) -> str:
    """A script of 1.6 MB that every server gives to all."""
    page = sign_in(url).get(f"{url}/api/v1/docs/", timeout=PATIENCE).text
    return re.search(r'src="(/static/[^"]*swagger-ui-bundle[^"]*\.js)"', page).group(1)


def pages_answer(url: str) -> bool:
    return requests.get(f"{url}/accounts/login/", timeout=PATIENCE / 2).status_code == 200


def test_dropped_pipelined_requests_hold_no_thread(server):
    wanted = request("GET", largest_file(server))
    for _ in range(8):
        with connect(server, window=4096) as client:
            client.sendall(wanted * 4)
            client.recv(2000)
    assert pages_answer(server)


def test_a_connection_with_many_requests_ahead_ends(server):
    """Thousands fit into what is read at once, and each took memory and a turn of the event loop before any other."""
    with connect(server) as client:
        client.sendall(request("GET", "/accounts/login/") * 500)
        answer = everything(client)
    assert answer.endswith(b"Invalid HTTP request received.")
    assert answer.count(b"HTTP/1.1 200 OK") < 500
    with connect(server) as client:  # a few are answered, one after the other
        client.sendall(request("GET", "/health/") * 20 + request("GET", "/health/", "Connection: close"))
        assert everything(client).count(b"HTTP/1.1 200 OK") == 21


def test_slow_bodies_hold_no_thread_and_are_told_to_hurry(server):
    begun = request("POST", "/accounts/login/", "Content-Length: 100", body=b"0123456789")
    clients = [connect(server) for _ in range(8)]
    for client in clients:
        client.sendall(begun)
    assert pages_answer(server)
    assert all(everything(client).startswith(b"HTTP/1.1 408") for client in clients)


def test_slow_readers_hold_no_thread_and_are_cut_off(server):
    wanted = request("GET", largest_file(server))
    clients = [connect(server, window=4096) for _ in range(8)]
    for client in clients:
        client.sendall(wanted * 20)
    assert pages_answer(server)
    threading.Event().wait(8)  # longer than stalled_seconds: nothing is read meanwhile
    assert all(everything(client).count(b"HTTP/1.1 200") < 20 for client in clients)


@pytest.mark.parametrize("chunked", [False, True])
def test_half_a_judgment_is_none_and_the_whole_one_is_stored_by_the_retry(server, database, chunked):
    session = sign_in(server, "writer")
    page = session.post(f"{server}/projects/letters/annotate/", timeout=PATIENCE)
    uuid = re.search(r'name="client_uuid" value="([^"]+)"', page.text).group(1)
    text = "The first half. " * 100 + "The second half. " * 100
    body = urlencode({"client_uuid": uuid, "active_ms": "1000", "text": text}).encode()
    lines = [f"Cookie: {'; '.join(f'{name}={value}' for name, value in session.cookies.items())}"]
    lines += [f"X-CSRFToken: {session.cookies['csrftoken']}", "Content-Type: application/x-www-form-urlencoded"]
    address = f"{urlsplit(page.url).path}submit/"
    with connect(server) as client:
        half = body[: len(body) // 2]
        if chunked:
            half = f"{len(half):x}\r\n".encode() + half + b"\r\n"
            lines.append("Transfer-Encoding: chunked")
        else:
            lines.append(f"Content-Length: {len(body)}")
        client.sendall(request("POST", address, *lines, body=half))
        client.shutdown(socket.SHUT_WR)
        assert not everything(client).startswith(b"HTTP/1.1 2")
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM annotation_referenceanswer").fetchone() == (0,)
    if chunked:
        answer = session.post(server + address, data=body, headers={"Content-Type": lines[2].split(": ")[1]})
        assert answer.status_code == 200
        with contextlib.closing(sqlite3.connect(database)) as connection:
            query = "SELECT text FROM annotation_completion WHERE source = 'person'"
            assert connection.execute(query).fetchall() == [(text.strip(),)]


def test_a_file_of_several_pieces_arrives_whole(server):
    address = server + largest_file(server)
    plain = {"Accept-Encoding": "identity"}  # a part of what is packed cannot be unpacked
    whole = requests.get(address, headers=plain, timeout=PATIENCE)
    part = requests.get(address, headers={**plain, "Range": "bytes=300000-899999"}, timeout=PATIENCE)
    assert len(whole.content) == int(whole.headers["Content-Length"]) > 1_000_000
    assert part.status_code == 206
    assert part.content == whole.content[300_000:900_000]


def test_a_chunked_body_reaches_the_page(server):
    def form():
        yield b"username=admin&"
        yield b"password=secret+words"

    session = requests.Session()
    session.get(f"{server}/accounts/login/", timeout=PATIENCE)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-CSRFToken": session.cookies["csrftoken"]}
    session.post(f"{server}/accounts/login/", data=form(), headers={**headers, "Referer": server}, timeout=PATIENCE)
    assert "sessionid" in session.cookies


def test_headers_behind_a_chunked_body_are_dropped(server):
    """uvicorn keeps each of them in memory, as one of the request, where no proxy in front has looked at it."""
    with connect(server) as client:
        lines = ("Transfer-Encoding: chunked", "Connection: close", "X-Request-ID: from-the-head")
        head = request("POST", "/accounts/login/", *lines)
        client.sendall(head + b"1\r\na\r\n0\r\n" + b"X-Request-ID: from-the-trailer\r\n" * 1000 + b"\r\n")
        answer = everything(client)
    assert b"from-the-head\r\n" in answer
    assert b"from-the-trailer" not in answer


def test_one_address_has_few_places_for_large_bodies(server):
    """A session is claimed, not proved, while a body comes in: what anybody can make the disk hold is bounded."""
    lines = ("Cookie: sessionid=claimed", "Content-Length: 20000000")
    begun = request("POST", "/projects/letters/prompts/", *lines, body=b"x" * 8_000_100)
    clients = [connect(server) for _ in range(3)]
    for client in clients:
        client.sendall(begun)
    assert pages_answer(server)
    assert sorted(everything(client)[:12] for client in clients) == [b"HTTP/1.1 408"] * 2 + [b"HTTP/1.1 429"]
    session = sign_in(server)  # the places are free again
    answer = session.post(f"{server}/projects/letters/prompts/", data={"file": "x" * 9_000_000}, timeout=PATIENCE)
    assert answer.status_code == 200


def test_heads_are_bounded_in_length_and_time(server):
    with connect(server) as long, connect(server) as late, connect(server) as silent:
        long.sendall(request("GET", "/health/")[:-2] + b"X-Long: " + b"x" * 40_000)
        late.sendall(b"GET /health/ HTTP/1.1\r\nHost: loc")
        assert everything(long).startswith(b"HTTP/1.1 431")
        assert everything(late) == b""
        assert everything(silent) == b""


@pytest.mark.parametrize(
    ("path", "bytes_", "signed_in", "status"),
    [
        ("/accounts/login/", 100_000, False, 413),
        ("/accounts/login/", 30_000, False, 403),  # no CSRF token: it got as far as Django
        ("/projects/letters/settings/", 3_000_000, True, 413),
        ("/projects/letters/settings/", 1_000_000, True, 200),
        ("/api/v1/projects/letters/tasks/claim/", 3_000_000, True, 413),
        ("/projects/letters/prompts/", 3_000_000, True, 200),  # takes files
        ("/projects/letters/prompts/", 70_000_000, True, 400),  # of a file it would take more
    ],
)
def test_a_body_is_as_long_as_its_address_takes(server, path, bytes_, signed_in, status):
    session = sign_in(server) if signed_in else requests.Session()
    try:
        answer = session.post(server + path, data={"file": "x" * bytes_}, timeout=PATIENCE)
    except requests.ConnectionError:
        assert status == 413  # closed while the client was still sending
    else:
        assert answer.status_code == status
        assert status != 413 or "longer than the" in answer.text


def test_health_answers_while_all_page_threads_wait_and_ready_says_what_works(server, database):
    session = sign_in(server)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        claim = f"{server}/api/v1/projects/letters/tasks/claim/"
        waiting = [threading.Thread(target=lambda: session.post(claim, timeout=PATIENCE)) for _ in range(8)]
        for thread in waiting:
            thread.start()
        threading.Event().wait(1)
        assert requests.get(f"{server}/health/", timeout=5).json() == {"status": "ok"}
        connection.execute("ROLLBACK")
    for thread in waiting:
        thread.join()
    for _ in range(60):
        ready = requests.get(f"{server}/ready/", timeout=PATIENCE)
        if ready.json()["status"] == "ok":
            break
        threading.Event().wait(0.5)
    assert ready.status_code == 200
    assert ready.json() == dict.fromkeys(("status", "database", "disk", "channel_layer", "worker"), "ok")


def socket_of(session: requests.Session, url: str):
    cookie = "; ".join(f"{name}={value}" for name, value in session.cookies.items())
    address = f"{url.replace('http', 'ws')}/ws/projects/letters/"
    return websockets.connect(address, additional_headers={"Cookie": cookie}, origin=url)


async def _closed_with(page) -> int:
    try:
        while True:
            await asyncio.wait_for(page.recv(), PATIENCE)
    except ConnectionClosed as closed:
        return closed.rcvd.code


def test_sockets_take_no_messages_are_not_deflated_and_are_few_for_each_person(server):
    session = sign_in(server)

    async def scene() -> None:
        async with socket_of(session, server) as talker:
            assert talker.protocol.extensions == []
            await talker.send("{}")
            assert await _closed_with(talker) == 1008
        async with socket_of(session, server) as shouter:
            await shouter.send("x" * 5000)
            assert await _closed_with(shouter) == 1009
        async with contextlib.AsyncExitStack() as pages:
            for _ in range(3):
                await pages.enter_async_context(socket_of(session, server))
            with pytest.raises(InvalidStatus):
                await pages.enter_async_context(socket_of(session, server))
        async with socket_of(session, server):  # there is room again
            pass

    asyncio.run(scene())


def test_what_anybody_can_send_writes_lines_into_the_log_and_no_stack_traces(server, tmp_path_factory):
    """A name of the server that it does not have, and a socket where none is."""
    log = tmp_path_factory.getbasetemp() / "hostile.log"
    before = len(log.read_text())
    page, host = f"{server}/accounts/login/", {"Host": "elsewhere.example"}
    assert requests.get(page, headers=host, timeout=PATIENCE).status_code == 400

    async def scene() -> None:
        async with websockets.connect(f"{server.replace('http', 'ws')}/ws/nowhere/", origin=server):
            pass

    with pytest.raises(InvalidStatus, match="403"):
        asyncio.run(scene())
    said = log.read_text()[before:]
    assert "elsewhere.example" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("sign", ["ping", "pong"])
def test_a_socket_that_sends_nothing_but_signs_of_life_ends(server, sign):
    """The application sees none of them, and each costs the event loop a turn; some are what a browser sends."""
    session = sign_in(server)

    async def scene() -> int | None:
        async with socket_of(session, server) as page:
            for number in range(100):
                await getattr(page, sign)(b"%100d" % number)
            await asyncio.wait_for(await page.ping(), PATIENCE)  # it is still open
            with contextlib.suppress(ConnectionClosed):
                for number in range(100, 2000):
                    await getattr(page, sign)(b"%100d" % number)
            await asyncio.wait_for(page.wait_closed(), PATIENCE)
            return page.close_code

    assert asyncio.run(scene()) == 1006  # without a word


def test_a_socket_ends_with_the_membership(server):
    admin, leaver = sign_in(server), sign_in(server, "leaver")

    async def scene() -> None:
        async with socket_of(leaver, server) as page, socket_of(admin, server) as other:
            members = admin.get(f"{server}/api/v1/projects/letters/members/", timeout=PATIENCE).json()["results"]
            (pk,) = [member["annotator_id"] for member in members if member["username"] == "leaver"]
            address = f"/projects/letters/members/{pk}/remove/"
            await asyncio.to_thread(admin.post, server + address, timeout=PATIENCE)
            assert await _closed_with(page) == 4403
            await other.ping()
            assert other.close_code is None

    asyncio.run(scene())


SERVER = """
import frontend.asgi, sys
def resident(): return int(open("/proc/self/statm").read().split()[1]) * 4096
bytearray(b"x" * 2**24)  # glibc raises its own limit to the largest block that was freed
before = resident()
blocks = [bytearray(b"x" * 2**21) for _ in range(64)]
full = resident() - before
del blocks[::2]
print(sys.getswitchinterval(), (resident() - before) / full)
"""


def test_large_blocks_go_back_to_the_system_and_a_busy_thread_makes_way_soon(tmp_path):
    """In the process that serves: what a large file took, and the event loop beside page threads that compute."""
    environment = environment_of(tmp_path) | {"DJANGO_SETTINGS_MODULE": "frontend.settings"}
    told = subprocess.run([sys.executable, "-c", SERVER], cwd=ROOT, env=environment, capture_output=True, check=True)
    interval, left = map(float, told.stdout.split())
    assert interval <= 0.001
    assert left < 0.75
