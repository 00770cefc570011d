"""Feedback of end users into a real server on PostgreSQL, with kills of the server in between: nothing lost or doubled.

    python benchmarks/feedback.py [--senders 8] [--seconds 20] [--batch 1] [--kills 3] [--database URL]

Each sender is a product with its own connection. It sends feedback on a prompt of its own or one that others share, now
and then the same again, and repeats by key what got no answer. Half of the time measures without kills; in the other
half the server is killed by SIGKILL and started again. A database that is named must be empty; without one, PostgreSQL
is started for this run. Prints one JSON line: `per_second`, `cpu_ms` of the server for one feedback and `p95_ms` of a
request are those of the half without kills; exit code 1 where anything is lost or duplicated.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

from annotators import ROOT, SLUG, WORDS, Server, prepared_server

SHARED_SHARE, AGAIN_SHARE = 0.2, 0.05
SHARED_PROMPTS = 50
PROMPT_WORDS, RESPONSE_WORDS = 20, 60
LAST_TRIES_SECONDS = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--batch", type=int, default=1, help="feedbacks in one request")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--database", default="", help="URL of an empty database (default: PostgreSQL for this run)")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    with contextlib.ExitStack() as stack:
        database = options.database or stack.enter_context(own_postgres())
        server, _ = stack.enter_context(prepared_server(database, annotators=0, tasks=0, seats=1))
        found = measure(server, options)
    print(json.dumps(found))
    sys.exit(bool(found["lost"] or found["duplicated"]))


@contextlib.contextmanager
def own_postgres():
    from tests.services import postgres

    with tempfile.TemporaryDirectory(prefix="prefloop-pg-") as folder, postgres(Path(folder)) as address:
        yield address


def measure(server: Server, options: argparse.Namespace) -> dict:
    token = token_of_an_admin()
    senders = [Sender(server.port, token, number, options.batch) for number in range(options.senders)]
    work(senders, 2)  # warms up
    for sender in senders:
        sender.ms.clear()
    before, cpu, began = stored(senders), server.cpu_ms(), time.perf_counter()
    work(senders, options.seconds / 2)
    wall, cpu, sent = time.perf_counter() - began, server.cpu_ms() - cpu, stored(senders) - before
    ms = sorted(each for sender in senders for each in sender.ms)
    killer = threading.Thread(target=kill_some, args=[server, options.kills, options.seconds / 2])
    killer.start()
    work(senders, options.seconds / 2)
    killer.join()
    for sender in senders:
        sender.finish()
    keys = [key for sender in senders for key in sender.answered]
    from annotation.models import Completion, Feedback, Prompt

    there = list(Feedback.objects.values_list("key", flat=True))
    texts = list(Completion.objects.values_list("prompt_id", "text"))
    digests = list(Prompt.objects.values_list("digest", flat=True))
    return {
        "benchmark": "feedback",
        "per_second": round(sent / wall, 1),
        "cpu_ms": round(cpu / max(sent, 1), 2),
        "p95_ms": round(ms[int(0.95 * (len(ms) - 1))], 1),
        "lost": len(set(keys) - set(there)),
        "duplicated": sum(len(rows) - len(set(rows)) for rows in (there, texts, digests)),
        "feedback": len(there),
        "retries": sum(sender.retries for sender in senders),
        "kills": options.kills,
        "senders": options.senders,
        "batch": options.batch,
    }


def token_of_an_admin() -> str:
    from django.contrib.auth.models import User

    from annotation.actions.tokens import make_token
    from annotation.models import Membership, Project, Role, Scope

    admin = User.objects.create_user("product")
    Membership.objects.create(project=Project.objects.get(slug=SLUG), user=admin, role=Role.ADMIN)
    return make_token(user=admin, name="product", scopes=[Scope.FEEDBACK])[1]


def stored(senders: list[Sender]) -> int:
    return sum(len(sender.answered) for sender in senders)


def work(senders: list[Sender], seconds: float) -> None:
    """Let every sender send for so long."""
    end = time.perf_counter() + seconds
    threads = [threading.Thread(target=sender.work, args=[end]) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def kill_some(server: Server, kills: int, seconds: float) -> None:
    for _ in range(kills):
        time.sleep(seconds / (kills + 1))
        server.kill()
        server.start()


class Sender:
    """A product: it repeats what got no answer, with the same key, until it is answered."""

    def __init__(self, port: int, token: str, number: int, batch: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.random, self.batch = random.Random(number), batch
        self.path = f"/api/v1/projects/{SLUG}/feedback/" + ("batch/" if batch > 1 else "")
        self.answered: list[str] = []
        self.ms: list[float] = []
        self.retries = 0
        self.waiting: list[dict] = []

    def work(self, end: float) -> None:
        while time.perf_counter() < end:
            self.waiting = self.waiting or [self._one() for _ in range(self.batch)]
            if self._send():
                again, self.waiting = self.waiting, []
                if self.random.random() < AGAIN_SHARE:
                    self.waiting = again  # its answer got lost on its way
                else:
                    self.answered += [each["key"] for each in again]

    def finish(self) -> None:
        """Send what is still without an answer."""
        end = time.perf_counter() + LAST_TRIES_SECONDS
        while self.waiting and time.perf_counter() < end:
            if self._send():
                self.answered += [each["key"] for each in self.waiting]
                self.waiting = []
        if self.waiting:
            raise SystemExit("The server did not answer any more.")

    def _send(self) -> bool:
        body = json.dumps(self.waiting[0] if self.batch == 1 else {"feedback": self.waiting})
        began = time.perf_counter()
        try:
            self.connection.request("POST", self.path, body, self.headers)
            response = self.connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.retries += 1
            time.sleep(0.1)
            return False
        self.ms.append(1000 * (time.perf_counter() - began))
        if response.status not in (200, 201):
            raise SystemExit(f"The server answered {response.status}: {content[:300]!r}")
        return True

    def _one(self) -> dict:
        chance = self.random
        shared = chance.random() < SHARED_SHARE
        prompt = f"Shared {chance.randrange(SHARED_PROMPTS)}" if shared else self._words(PROMPT_WORDS)
        response = f"Answer {chance.randrange(3)}" if shared else self._words(RESPONSE_WORDS)
        thumb = chance.choice(["up", "down"])
        return {"key": str(uuid.uuid4()), "prompt": prompt, "response": response, "thumb": thumb, "version": "v1"}

    def _words(self, count: int) -> str:
        return " ".join(self.random.choices(WORDS, k=count))


if __name__ == "__main__":
    main()
