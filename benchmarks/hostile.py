"""Clients that mean harm, and annotators who work beside them on the same server.

    python benchmarks/hostile.py [--annotators 20] [--seconds 60] [--think 0.3] [--idle 1000] [--kills 0] [--postgres]

A real `manage.py serve` on loopback, and a `manage.py run_worker` that imports files meanwhile. Beside the annotators:
slow bodies, slow readers, dropped pipelined requests, half requests and half submits, texts that are slow to render,
files that unpack to much more than they are, and idle connections; all in bounded numbers, from an address of their own
(127.0.0.2). With --kills server and worker are ended by SIGKILL so many times each during the work and started again.
With --postgres both are on a PostgreSQL cluster of their own, and tell each other what happens through Redis where it
is installed. Prints one JSON line; exit code 1 if something that was acknowledged is lost, half stored or stored twice,
or if an annotator got an error.

`errors_for_annotators` counts answers other than the next task; a connection that a kill ended is counted as
`interrupted` instead, and the annotator sends the same again. `health_p99_ms` is of a look ten times a second, by a
process of its own, while nobody is being killed. `half_stored` are rankings whose last field, a long rationale, has
lost its end, or in which answers are missing, and files of which not all rows are there although their import has
ended.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import math
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from annotators import (
    CANDIDATES,
    ROOT,
    SLUG,
    Annotator,
    Refused,
    Server,
    Shown,
    findings,
    prepared_server,
    session_of,
    summary,
)
from attackers import ATTACKER, attacks, request

END = "END"
RATIONALE = f"{'Because it is kinder. ' * 150}{END}"
PAUSE = 0.2  # seconds between two tries of an attacker
FILES, ROWS = 8, 2100  # that the worker imports
LOST_AFTER_SECONDS = 10  # a worker that gave no sign for so long is taken for lost
IMPORTS_END_WITHIN = 300  # seconds after the work
LOOK = """
import http.client, sys, time
while True:
    began, status = time.monotonic(), 0
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
        connection.request("GET", "/health/")
        status = connection.getresponse().status
        connection.close()
    except (OSError, http.client.HTTPException):
        pass
    print(began, time.monotonic(), status, flush=True)
    time.sleep(0.1)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotators", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--think", type=float, default=0.3, help="mean seconds that a person reads before they submit")
    parser.add_argument("--idle", type=int, default=1000, help="connections that are opened and say nothing")
    parser.add_argument("--kills", type=int, default=0, help="times that server and worker are killed during the work")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL cluster of its own")
    options = parser.parse_args()
    with services(options.postgres) as (url, environment):
        found = run(options, url, environment)
    print(json.dumps(found))
    sys.exit(any(found[fault] for fault in ("lost", "half_stored", "duplicated", "errors_for_annotators")))


@contextlib.contextmanager
def services(postgres: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the URL of an empty database, empty for SQLite in the server's home, and what names Redis."""
    if not postgres:
        yield "", {}
        return
    sys.path.insert(0, str(ROOT))
    from tests import services

    folder = Path(tempfile.mkdtemp(prefix="prefloop-hostile-"))
    try:
        with services.postgres(folder) as url:
            if services.find("redis-server") is None:
                yield url, {}
                return
            with services.redis() as redis_url:
                yield url, {"REDIS_URL": redis_url}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(options: argparse.Namespace, url: str, environment: dict[str, str]) -> dict[str, Any]:
    size = {"annotators": options.annotators + 1, "tasks": int(options.seconds * 60), "seats": 1}
    environment = {"PREFLOOP_LOST_AFTER_SECONDS": str(LOST_AFTER_SECONDS), **environment}
    with prepared_server(url, **size, **environment) as (server, sessions), contextlib.ExitStack() as on_end:
        scene = Scene(server, sessions.pop())
        imports = Imports(server)
        scene.worker.start()
        on_end.callback(scene.worker.kill)
        on_end.callback(scene.look.kill)
        crowd = [Person(Annotator(server.port, each, number), scene, options) for number, each in enumerate(sessions)]
        workers = [scene.thread(work) for work in (scene.watch_memory, *(person.work for person in crowd))]
        time.sleep(3)  # the server is warm
        before, work_began = server.rss_mb(), time.monotonic()
        attackers = [scene.thread(scene.attacking(attack)) for attack in attacks(scene, options.idle)]
        if options.kills:
            kill(scene, options)
        else:
            time.sleep(options.seconds)
        scene.attack_is_over.set()
        for thread in attackers:
            thread.join(90)
        scene.over.set()
        scene.look.kill()
        for thread in workers:
            thread.join(90)
        growth = round(server.rss_mb() - before, 1)
        imports.wait_for_end()
        found = report(options, scene, crowd, imports)
        return {**found, "rss_growth_mb": growth, "seconds": round(time.monotonic() - work_began, 1)}


def kill(scene: Scene, options: argparse.Namespace) -> None:
    """End server and worker by SIGKILL every few seconds of the work, and start them again, on the same port."""
    for _ in range(options.kills):
        time.sleep(max(options.seconds / options.kills, 1))
        scene.killed_at = time.monotonic()
        scene.killing.set()
        scene.worker.kill()
        scene.server.kill()
        scene.worker.start()
        scene.server.start()
        scene.kills.append((scene.killed_at, time.monotonic()))
        scene.killing.clear()


class WorkerProcess:
    """`manage.py run_worker` on the server's home and database."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def start(self) -> None:
        command = [sys.executable, "manage.py", "run_worker"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)


class Imports:
    """Files of an admin that the worker imports while annotators work."""

    def __init__(self, server: Server) -> None:
        from django.contrib.auth.models import User

        from annotation.models import Membership, Project, Role

        admin = User.objects.create_user("bench-admin")
        Membership.objects.create(project=Project.objects.get(slug=SLUG), user=admin, role=Role.ADMIN)
        self.browser = Annotator(server.port, session_of(admin), 0)
        self.browser.headers.pop("HX-Request")
        self.resumed = 0
        for number in range(FILES):
            self._hand_over(number)

    def _hand_over(self, number: int) -> None:
        """Upload a file and have it imported: the answer to that is the acknowledgement."""
        rows = "".join(json.dumps({"prompt": f"Question {row} of file {number}?"}) + "\n" for row in range(ROWS))
        part = f'--file\r\nContent-Disposition: form-data; name="file"; filename="{number}.jsonl"\r\n\r\n{rows}\r\n'
        preview = self._post(
            f"/projects/{SLUG}/prompts/", f"{part}--file--\r\n".encode(), "multipart/form-data; boundary=file"
        )
        self._post(f"{preview}take/", b"", "application/x-www-form-urlencoded")

    def _post(self, path: str, body: bytes, content_type: str) -> str:
        self.browser.connection.request("POST", path, body, self.browser.headers | {"Content-Type": content_type})
        response = self.browser.connection.getresponse()
        content = response.read()
        if response.status != 302:
            raise Refused(response.status, content)
        return response.headers["Location"]

    def wait_for_end(self) -> None:
        """Wait until each has ended; where one was given up, as its worker was killed too often, resume it."""
        from annotation.models import ImportStatus, PromptUpload

        unfinished = PromptUpload.objects.exclude(status=ImportStatus.TAKEN)
        until = time.monotonic() + IMPORTS_END_WITHIN
        while unfinished.exists() and time.monotonic() < until:
            for upload in unfinished.filter(status=ImportStatus.FAILED):
                self.browser.connection.close()
                path = f"/projects/{SLUG}/prompts/uploads/{upload.pk}/job/"
                self._post(path, b"do=resume", "application/x-www-form-urlencoded")
                self.resumed += 1
            time.sleep(1)

    def findings(self) -> dict[str, int]:
        from annotation.models import ImportStatus, Prompt, PromptUpload

        files = [(upload.status, Prompt.objects.filter(upload=upload).count()) for upload in PromptUpload.objects.all()]
        stored = [count for _, count in files]
        return {
            "imported": sum(stored),
            "lost": FILES * ROWS - sum(min(count, ROWS) for count in stored),
            "duplicated": sum(max(count - ROWS, 0) for count in stored),
            "half_stored": sum(status == ImportStatus.TAKEN and count != ROWS for status, count in files),
        }


class Scene:
    """What all threads of a run share."""

    def __init__(self, server: Server, member: str) -> None:
        self.server, self.member, self.worker = server, member, WorkerProcess(server.environment)
        self.over, self.attack_is_over, self.killing = threading.Event(), threading.Event(), threading.Event()
        self.memory_mb: list[float] = []
        self.did: Counter[str] = Counter()
        self.kills: list[tuple[float, float]] = []  # when each began, and when the server was back
        self.killed_at = 0.0
        self.looks = tempfile.TemporaryFile("w+")  # noqa: SIM115  # gone with the process
        self.look = subprocess.Popen([sys.executable, "-c", LOOK, str(server.port)], stdout=self.looks)
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
                except (OSError, http.client.HTTPException, Refused):  # refused or cut off, as it should be
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

    def watch_memory(self) -> None:
        while not self.over.wait(0.25):
            with contextlib.suppress(OSError, StopIteration):
                self.memory_mb.append(self.server.rss_mb())

    def health_ms(self) -> tuple[list[float], int]:
        """Return how long each look took, sorted, and how many failed; none that a kill cut into."""
        self.looks.seek(0)
        lines = (line.split() for line in self.looks)
        looks = [(float(line[0]), float(line[1]), int(line[2])) for line in lines if len(line) == 3]
        alone = [look for look in looks if not any(look[0] < back and look[1] > began for began, back in self.kills)]
        return sorted(1000 * (ended - began) for began, ended, _ in alone), sum(status != 200 for *_, status in alone)


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
            try:
                return work()
            except Refused as problem:
                self.errors[str(problem)[:200]] += 1
                return None
            except (OSError, http.client.HTTPException) as problem:
                self.browser.connection.close()
                if self.scene.killing.is_set() or self.scene.killed_at >= self.browser.used_at:
                    self.interrupted += 1
                else:
                    self.errors[f"{type(problem).__name__}: {problem}"[:200]] += 1
                self.browser.used_at = time.monotonic()  # the next connection is a new one
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


def report(options: argparse.Namespace, scene: Scene, crowd: list[Person], imports: Imports) -> dict[str, Any]:
    from django.db import connection

    from annotation.models import Ranking

    acknowledged = set().union(*(person.acknowledged for person in crowd))
    errors = sum((person.errors for person in crowd), Counter())
    judgments, files = findings(acknowledged), imports.findings()
    half = [
        ranking.pk
        for ranking in Ranking.objects.all()
        if ranking.rationale != RATIONALE or sum(map(len, ranking.tiers)) != CANDIDATES
    ]
    health, failed = scene.health_ms()
    return {
        "benchmark": "hostile",
        "database": connection.vendor,
        "redis": "REDIS_URL" in scene.server.environment,
        "annotators": options.annotators,
        "judgments": len(acknowledged),
        "imported": files["imported"],
        "imports_resumed": imports.resumed,
        "lost": judgments["lost"] + files["lost"],
        "half_stored": len(half) + files["half_stored"],
        "duplicated": judgments["duplicated"] + files["duplicated"],
        "errors_for_annotators": errors.total(),
        "health_p99_ms": round(health[math.ceil(0.99 * len(health)) - 1], 1) if health else None,
        "health_p50_ms": round(statistics.median(health), 1) if health else None,
        "health_failed": failed,
        "peak_rss_mb": max(scene.memory_mb, default=0),
        "kills_of_each": len(scene.kills),
        "interrupted": sum(person.interrupted for person in crowd),
        "submit_ms": summary([ms for person in crowd for ms in person.browser.timings.submit_ms]),
        "did": dict(sorted(scene.did.items())),
        "error_texts": [text for text, _ in errors.most_common(3)],
    }


if __name__ == "__main__":
    main()
