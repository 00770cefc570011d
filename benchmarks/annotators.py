"""What the queue benchmarks share: a real server on a folder of its own, and annotators who speak HTTP to it.

An annotator has a session, sends CSRF tokens and goes through every permission check, as a browser does: a claim or a
submit is the request that htmx makes, and its answer is the next task's part of the page.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
SLUG = "bench"
WORDS = "the model output ranks answer prompt a of and with human feedback reward policy token data label".split()  # noqa: SIM905
IDLE_SECONDS = 3
CANDIDATES, PROMPT_WORDS, ANSWER_WORDS = 4, 40, 120
SEAT = re.compile(r"/tasks/(\d+)/")
ANSWER = re.compile(r'data-id="(\d+)"')
SHOWN_UUID = re.compile(r'name="client_uuid" value="([\w-]+)"')


@dataclass
class Timings:
    claim_ms: list[float] = field(default_factory=list)
    submit_ms: list[float] = field(default_factory=list)


class Server:
    """`manage.py serve` on a temporary PREFLOOP_HOME, prepared as `make serve` does it."""

    def __init__(self, home: str, database: str, *, threads: int = 4, **environment: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.threads = threads
        self.environment = {
            name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")
        }
        self.environment |= {"PREFLOOP_HOME": home, "DJANGO_SETTINGS_MODULE": "frontend.settings", **environment}
        if database:
            self.environment["DATABASE_URL"] = database

    def prepare(self) -> None:
        program = "from frontend.readiness import prepare; prepare(print)"
        command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", program]
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        try:
            self.start()
            yield
        finally:
            self.process.terminate()
            self.process.wait(30)

    def start(self) -> None:
        """Start the process and wait until it answers."""
        options = ["--port", str(self.port), "--threads", str(self.threads), "--no-worker"]
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", *options], cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL
        )
        for _ in range(900):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"The server did not start (exit code {self.process.poll()}).")

    def kill(self) -> None:
        """End the process by SIGKILL, as a lack of memory or a power cut does."""
        self.process.kill()
        self.process.wait(30)

    def cpu_ms(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return round(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024, 1)


@contextlib.contextmanager
def prepared_server(
    database: str, *, annotators: int, tasks: int, seats: int, **environment: str
) -> Iterator[tuple[Server, list[str]]]:
    """A running server with a project, its tasks, and the session of each annotator."""
    with tempfile.TemporaryDirectory(prefix="prefloop-bench-") as home:
        server = Server(home, database, **environment)
        server.prepare()
        os.environ.pop("DATABASE_URL", None)
        os.environ.update(server.environment)
        sys.path.insert(0, str(ROOT))
        import django

        django.setup()
        from django.db import connections

        sessions = _seed(annotators, tasks, seats)
        with server.running():
            yield server, sessions
        connections.close_all()


def _seed(annotators: int, tasks: int, seats: int) -> list[str]:
    from django.contrib.auth.models import User
    from django.db import transaction

    from annotation.models import Membership, Project, Role

    project = Project.objects.create(slug=SLUG, name="Bench", guidelines="Prefer *kind* answers.", seats_per_task=seats)
    people = [User.objects.create_user(f"annotator-{number}") for number in range(annotators)]
    Membership.objects.bulk_create(Membership(project=project, user=user, role=Role.ANNOTATOR) for user in people)
    with transaction.atomic():
        _add_tasks(project, tasks, seats)
    return [session_of(user) for user in people]


def _add_tasks(project, tasks: int, seats: int) -> None:
    from annotation.models import Assignment, Candidate, Completion, PolicyVersion, Prompt, Source, Split, Task

    chance = random.Random(7)
    policy = PolicyVersion.objects.create(project=project, number=0, checkpoint="/nowhere")

    def text(count: int) -> str:
        return " ".join(chance.choice(WORDS) for _ in range(count))

    for start in range(0, tasks, 500):
        messages = [
            [{"role": "user", "content": f"#{number} {text(PROMPT_WORDS)}"}]
            for number in range(start, min(start + 500, tasks))
        ]
        prompts = Prompt.objects.bulk_create(
            Prompt(project=project, messages=asked, digest=Prompt.digest_of(asked), split=Split.TRAIN)
            for asked in messages
        )
        completions = Completion.objects.bulk_create(
            Completion(prompt=prompt, source=Source.POLICY, policy=policy, text=text(ANSWER_WORDS))
            for prompt in prompts
            for _ in range(CANDIDATES)
        )
        opened = Task.objects.bulk_create(
            Task(project=project, prompt=prompt, kind="ranking", seats=seats, planned_seats=seats) for prompt in prompts
        )
        task_of = {task.prompt_id: task for task in opened}
        Candidate.objects.bulk_create(Candidate(task=task_of[one.prompt_id], completion=one) for one in completions)
        Assignment.objects.bulk_create(
            Assignment(task=task, project=project, seat_number=number)
            for task in opened
            for number in range(1, seats + 1)
        )


def session_of(user) -> str:
    """Signed in without the second that hashing a password takes."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session.session_key


@dataclass
class Shown:
    """A task on an annotator's page."""

    seat: int
    answers: list[int]
    client_uuid: str


class Refused(Exception):
    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body[:200]!r}")
        self.status = status


class Annotator:
    """One browser: a connection that stays open, cookies, and the requests of the work page."""

    def __init__(self, port: int, session: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.used_at = time.monotonic()
        token = secrets.token_hex(16)
        self.headers = {
            "Cookie": f"sessionid={session}; csrftoken={token}",
            "X-CSRFToken": token,
            "HX-Request": "true",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        self.timings = Timings()

    def claim(self) -> Shown | None:
        began = time.perf_counter()
        shown = self._post(f"/projects/{SLUG}/annotate/", {})
        self.timings.claim_ms.append(1000 * (time.perf_counter() - began))
        return shown

    def submit(self, shown: Shown) -> Shown | None:
        """Any order of the answers; the answer of the server is the next task."""
        tiers = [[pk] for pk in self.random.sample(shown.answers, len(shown.answers))]
        fields = {"client_uuid": shown.client_uuid, "tiers": json.dumps(tiers), "unacceptable": "[]", "active_ms": 900}
        return self.send(shown, fields)

    def send(self, shown: Shown, fields: dict[str, object]) -> Shown | None:
        began = time.perf_counter()
        following = self._post(f"/projects/{SLUG}/tasks/{shown.seat}/submit/", fields)
        self.timings.submit_ms.append(1000 * (time.perf_counter() - began))
        return following

    def skip(self, shown: Shown) -> Shown | None:
        return self._post(f"/projects/{SLUG}/tasks/{shown.seat}/skip/", {"reason": "I do not want to read this"})

    def _post(self, path: str, fields: dict[str, object]) -> Shown | None:
        if time.monotonic() - self.used_at > IDLE_SECONDS:
            self.connection.close()  # the server has closed its end by now; a browser opens a new one, too
        self.connection.request("POST", path, urlencode(fields), self.headers)
        response = self.connection.getresponse()
        self.used_at = time.monotonic()
        body = response.read()
        if response.status != 200:
            raise Refused(response.status, body)
        seat = SEAT.search(response.headers.get("HX-Push-Url", ""))
        if seat is None:
            return None
        page = body.decode()
        answers = list(dict.fromkeys(int(pk) for pk in ANSWER.findall(page)))
        given = SHOWN_UUID.search(page)
        return Shown(int(seat[1]), answers, given[1] if given else str(uuid.uuid4()))


def summary(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {}
    return {"p50": round(statistics.median(values), 1), "p95": round(statistics.quantiles(values, n=20)[-1], 1)}


def findings(acknowledged: set[str]) -> dict[str, int]:
    """What the database says afterwards; `acknowledged` are the UUIDs of answers that the server took."""
    from django.db.models import Count, F, Q

    from annotation.models import Ranking, Task
    from annotation.models.task import OCCUPIED

    occupied = Count("assignments", filter=Q(assignments__status__in=OCCUPIED))
    stored = [str(client_uuid) for client_uuid in Ranking.objects.values_list("client_uuid", flat=True)]
    twice = Ranking.objects.values("assignment__task", "assignment__annotator").order_by().annotate(n=Count("id"))
    return {
        "over_assigned": Task.objects.annotate(occupied=occupied).filter(occupied__gt=F("seats")).count(),
        "lost": len(acknowledged - set(stored)),
        "duplicated": len(stored) - len(set(stored)) + twice.filter(n__gt=1).count(),
        "stored": len(stored),
    }
