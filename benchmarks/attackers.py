"""What clients that mean harm send: slowly, half, too much, and texts and files that are costly to read."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

from annotators import SLUG, Annotator

ATTACKER = "127.0.0.2"
BOMB_ROWS = 40_000


def request(method: str, path: str, *lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode() + body


def attacks(scene: Any, idle: int) -> list[Callable[[], None]]:
    def slow_bodies() -> None:
        with contextlib.ExitStack() as opened:
            clients = [opened.enter_context(scene.connect()) for _ in range(20)]
            for client in clients:
                client.sendall(request("POST", "/accounts/login/", "Content-Length: 1000", body=b"0"))
            for _ in range(20):
                if scene.attack_is_over.wait(0.5):
                    return
                for client in clients:
                    client.sendall(b"0")

    def slow_readers() -> None:
        with contextlib.ExitStack() as opened:
            for _ in range(20):
                client = opened.enter_context(scene.connect(window=4096))
                client.sendall(request("GET", scene.large_file) * 20)
            scene.attack_is_over.wait(8)

    def dropped_pipelined_requests() -> None:
        with scene.connect(window=4096) as client:
            client.sendall(request("GET", scene.large_file) * 4)
            client.recv(1000)

    def half_requests() -> None:
        for half in (b"GET /acc", request("POST", "/accounts/login/", "Content-Length: 50", body=b"username=")):
            with scene.connect() as client:
                client.sendall(half)
                client.shutdown(socket.SHUT_WR)
                client.recv(1000)

    def idle_connections() -> None:
        with contextlib.ExitStack() as opened:
            for _ in range(idle):
                opened.enter_context(scene.connect())
            scene.attack_is_over.wait(8)

    insider = Insider(scene)
    return [
        *(slow_bodies, slow_readers, dropped_pipelined_requests, half_requests, idle_connections),
        *(insider.slow_texts, insider.bombs),
    ]


class Insider:
    """An attacker with an account: an annotator of the project who also has a project of their own."""

    def __init__(self, scene: Any) -> None:
        from django.contrib.sessions.backends.db import SessionStore

        from annotation.actions import projects
        from annotation.models import Project

        self.scene = scene
        self.browser = Annotator(scene.server.port, scene.member, 999)
        user = SessionStore(scene.member)["_auth_user_id"]
        from django.contrib.auth.models import User

        projects.create_project(project=Project(name="Mine", slug="mine"), by=User.objects.get(pk=user))
        self.bombs_left = list(bombs())
        self.next = 0

    def _post(self, path: str, body: bytes, content_type: str) -> int:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.scene.server.port, timeout=60, source_address=(ATTACKER, 0)
        )
        try:
            connection.request("POST", path, body, self.browser.headers | {"Content-Type": content_type})
            response = connection.getresponse()
            response.read()
            if response.status >= 500:
                self.scene.did[f"{response.status} for {path}"] += 1
            return response.status
        finally:
            connection.close()

    def slow_texts(self) -> None:
        """Have 8,000 characters rendered that are slow to read as Markdown."""
        texts = ("\\[\n", "a\n\\[\n", "> \\[\n", "- \\[\n", "\\(", "*a ", "[a](", "`" * 3 + "\n")
        text = texts[self.next % len(texts)]
        self.next += 1
        body = urlencode({"text": (text * 8000)[:8000]}).encode()
        shown = self.browser.claim()
        if shown:
            self._post(f"/projects/{SLUG}/tasks/{shown.seat}/preview/", body, "application/x-www-form-urlencoded")

    def bombs(self) -> None:
        name, content = self.bombs_left[self.scene.did["bombs"] % len(self.bombs_left)]
        boundary = "bomb"
        parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="dry_run"\r\n\r\ntrue\r\n'.encode()]
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n")
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        status = self._post("/api/v1/projects/mine/prompts/", body, f"multipart/form-data; boundary={boundary}")
        self.scene.did[f"{name}: {status}"] += 1


def bombs() -> Iterator[tuple[str, bytes]]:
    """Yield small files that are large once they are read: name and content."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        pass
    else:
        for size, rows in ((20_000, BOMB_ROWS), (2_000_000, 1000)):
            file, text = io.BytesIO(), pyarrow.array(["x" * size]).dictionary_encode().dictionary
            column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int32()), text)
            parquet.write_table(pyarrow.table({"text": column}), file, compression="zstd")
            yield f"{size}x{rows}.parquet", file.getvalue()
    yield "zeros.jsonl.gz", gzip.compress(b"0" * 200_000_000)
    yield "nested.json", b'{"text":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    yield "objects.json", b'[{"text":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}]"
    items = [{"id": str(number), "body": f"Answer {number}"} for number in range(1000)]
    ranker = {"ranker": {"rank": [item["id"] for item in items]}}
    result = {"type": "ranker", "from_name": "rank", "to_name": "items", "value": ranker}
    task = {"id": 1, "data": {"prompt": "Q", "items": items}, "annotations": [{"completed_by": 1, "result": [result]}]}
    yield "ranker.json", json.dumps([task]).encode()
