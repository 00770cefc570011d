"""Clients that mean harm, and annotators who work beside them on the same server.

    python benchmarks/hostile.py [--annotators 20] [--seconds 60] [--think 0.3] [--idle 1000] [--kills 0] [--postgres]

A real `manage.py serve` on loopback. Beside the annotators: slow bodies, slow readers, dropped pipelined requests, half
requests and half submits, texts that are slow to render, files that unpack to much more than they are, and idle
connections; all in bounded numbers, from an address of their own (127.0.0.2). With --kills the server is ended by
SIGKILL so many times during the work and started again. Prints one JSON line; exit code 1 if a judgment that was
acknowledged is lost, half stored or stored twice, or if an annotator got an error.

`errors_for_annotators` counts answers other than the next task; where the server was just killed a lost connection is
counted as `interrupted` instead, and the annotator sends the same again. `health_p99_ms` is of a look ten times a
second while nobody kills the server. `half_stored` are rankings whose last field, a long rationale, has lost its end,
or in which answers are missing.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import http.client
import io
import json
import math
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

from annotators import CANDIDATES, SLUG, Annotator, Refused, Server, Shown, findings, prepared_server, summary

END = "END"
RATIONALE = f"{'Because it is kinder. ' * 150}{END}"
ATTACKER = "127.0.0.2"
PAUSE = 0.2  # seconds between two tries of an attacker
BOMB_ROWS = 40_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotators", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=0.3, help="mean seconds that a person reads before they submit")
    parser.add_argument("--idle", type=int, default=1000, help="connections that are opened and say nothing")
    parser.add_argument("--kills", type=int, default=0, help="times that the server is killed during the work")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL cluster of its own")
    options = parser.parse_args()
    with database(options.postgres) as url:
        found = run(options, url)
    print(json.dumps(found))
    sys.exit(any(found[fault] for fault in ("lost", "half_stored", "duplicated", "errors_for_annotators")))


@contextlib.contextmanager
def database(postgres: bool) -> Iterator[str]:
    """Yield the URL of an empty database; empty for SQLite in the server's home."""
    if not postgres:
        yield ""
        return
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests import services

    folder = Path(tempfile.mkdtemp(prefix="prefloop-hostile-"))
    try:
        with services.postgres(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(options: argparse.Namespace, url: str) -> dict:
    size = {"annotators": options.annotators + 1, "tasks": int(options.seconds * 60), "seats": 1}
    with prepared_server(url, **size) as (server, sessions):
        scene = Scene(server, sessions.pop())
        crowd = [Person(Annotator(server.port, each, number), scene, options) for number, each in enumerate(sessions)]
        watchers = [scene.watch_health, scene.watch_memory]
        workers = [scene.thread(work) for work in (*watchers, *(person.work for person in crowd))]
        time.sleep(3)  # the server is warm
        before = server.rss_mb()
        attackers = [scene.thread(scene.attacking(attack)) for attack in attacks(scene, options.idle)]
        if options.kills:
            kill(scene, options)
        else:
            time.sleep(options.seconds)
        scene.attack_is_over.set()
        for thread in attackers:
            thread.join(90)
        scene.over.set()
        for thread in workers:
            thread.join(90)
        time.sleep(3)
        return report(options, scene, crowd, before)


def kill(scene: Scene, options: argparse.Namespace) -> None:
    """End the server by SIGKILL every few seconds of the work, and start it again on the same port."""
    for _ in range(options.kills):
        time.sleep(max(options.seconds / options.kills, 1))
        scene.killing.set()
        scene.server.kill()
        scene.server.start()
        scene.killing.clear()
        scene.kills += 1


class Scene:
    """What all threads of a run share."""

    def __init__(self, server: Server, member: str) -> None:
        self.server, self.member = server, member
        self.over, self.attack_is_over, self.killing = threading.Event(), threading.Event(), threading.Event()
        self.health_ms: list[float] = []
        self.memory_mb: list[float] = []
        self.did: Counter[str] = Counter()
        self.kills = 0
        found = sorted(Path(server.environment["PREFLOOP_HOME"]).glob("static/**/swagger-ui-bundle.*.js"))
        self.large_file = "/static/" + found[0].as_posix().split("/static/", 1)[1]  # 1.6 MB, open to all

    @staticmethod
    def thread(work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def attacking(self, attack: Callable[[], None]) -> Callable[[], None]:
        def repeat() -> None:
            while not self.attack_is_over.is_set():
                try:
                    attack()
                    self.did[attack.__name__] += 1
                except (OSError, http.client.HTTPException):  # refused or cut off, which is what should happen
                    self.did[f"{attack.__name__}: cut off"] += 1
                self.attack_is_over.wait(PAUSE)

        return repeat

    def connect(self, *, window: int = 0) -> socket.socket:
        client = socket.socket()
        if window:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        client.settimeout(30)
        client.bind((ATTACKER, 0))
        client.connect(("127.0.0.1", self.server.port))
        return client

    def watch_health(self) -> None:
        while not self.over.wait(0.1):
            began = time.perf_counter()
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
                connection.request("GET", "/health/")
                connection.getresponse().read()
                connection.close()
            if not self.killing.is_set():
                self.health_ms.append(1000 * (time.perf_counter() - began))

    def watch_memory(self) -> None:
        while not self.over.wait(0.25):
            with contextlib.suppress(OSError, StopIteration):
                self.memory_mb.append(self.server.rss_mb())


def request(method: str, path: str, *lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode() + body


def attacks(scene: Scene, idle: int) -> list[Callable[[], None]]:
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

    def __init__(self, scene: Scene) -> None:
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


class Person:
    """An annotator who reads, ranks with a long rationale, and sends the same again where no answer came."""

    def __init__(self, browser: Annotator, scene: Scene, options: argparse.Namespace) -> None:
        self.browser, self.scene, self.think = browser, scene, options.think
        self.acknowledged: set[str] = set()
        self.errors: Counter[str] = Counter()
        self.interrupted = 0

    def work(self) -> None:
        shown = None
        while not self.scene.over.is_set():
            shown = self._patiently(lambda shown=shown: self._one_task(shown))

    def _patiently(self, work: Callable[[], Shown | None]) -> Shown | None:
        """Do it again until the server answers; an answer other than a task is an error, and the task is left."""
        while not self.scene.over.is_set():
            kills = self.scene.kills
            try:
                return work()
            except Refused as problem:
                self.errors[str(problem)[:200]] += 1
                return None
            except (OSError, http.client.HTTPException) as problem:
                self.browser.connection.close()
                if self.scene.killing.is_set() or self.scene.kills != kills:
                    self.interrupted += 1
                else:
                    self.errors[f"{type(problem).__name__}: {problem}"[:200]] += 1
                self.scene.over.wait(0.3)
        return None

    def _one_task(self, shown: Shown | None) -> Shown | None:
        shown = shown or self.browser.claim()
        chance = self.browser.random
        self.scene.over.wait(chance.uniform(0.5, 1.5) * self.think)
        if shown is None:
            return None
        tiers = [[answer] for answer in chance.sample(shown.answers, len(shown.answers))]
        fields = {"client_uuid": shown.client_uuid, "tiers": json.dumps(tiers), "unacceptable": "[]", "active_ms": 900}
        fields["rationale"] = RATIONALE
        if chance.random() < 0.1:
            self._send_half(shown, fields)
        return self._patiently(lambda: self._sent(shown, fields))

    def _sent(self, shown: Shown, fields: dict[str, object]) -> Shown | None:
        following = self.browser.send(shown, fields)
        self.acknowledged.add(shown.client_uuid)
        return following

    def _send_half(self, shown: Shown, fields: dict[str, object]) -> None:
        """The connection breaks in the middle of the body; the whole follows on another one."""
        body = urlencode(fields).encode()
        lines = [f"{name}: {value}" for name, value in self.browser.headers.items()]
        path = f"/projects/{SLUG}/tasks/{shown.seat}/submit/"
        half = request("POST", path, *lines, f"Content-Length: {len(body)}", body=body[: len(body) // 2])
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.scene.server.port), 10) as client,
        ):
            client.sendall(half)
            self.scene.did["half submits"] += 1


def report(options: argparse.Namespace, scene: Scene, crowd: list[Person], before: float) -> dict:
    from django.db import connection

    from annotation.models import Ranking

    acknowledged = set().union(*(person.acknowledged for person in crowd))
    errors = sum((person.errors for person in crowd), Counter())
    found = findings(acknowledged)
    half = [
        ranking.pk
        for ranking in Ranking.objects.all()
        if ranking.rationale != RATIONALE or sum(map(len, ranking.tiers)) != CANDIDATES
    ]
    health = sorted(scene.health_ms)
    return {
        "benchmark": "hostile",
        "database": connection.vendor,
        "annotators": options.annotators,
        "seconds": options.seconds,
        "judgments": len(acknowledged),
        "lost": found["lost"],
        "half_stored": len(half),
        "duplicated": found["duplicated"],
        "errors_for_annotators": errors.total(),
        "health_p99_ms": round(health[math.ceil(0.99 * len(health)) - 1], 1) if health else None,
        "health_p50_ms": round(statistics.median(health), 1) if health else None,
        "peak_rss_mb": max(scene.memory_mb, default=0),
        "rss_growth_mb": round(scene.server.rss_mb() - before, 1),
        "kills": scene.kills,
        "interrupted": sum(person.interrupted for person in crowd),
        "submit_ms": summary([ms for person in crowd for ms in person.browser.timings.submit_ms]),
        "did": dict(sorted(scene.did.items())),
        "error_texts": [text for text, _ in errors.most_common(3)],
    }


if __name__ == "__main__":
    main()
