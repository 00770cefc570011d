"""Annotators who behave badly, and a queue that must neither lose nor over-assign anything.

    python benchmarks/queue_integrity.py [--annotators 32] [--tasks 2000] [--seats 3] [--think 0] [--seconds 600]
                                         [--database URL]

They claim and rank through the pages, by real HTTP with sessions, CSRF and permissions. Some skip; some submit twice,
at once or again later; some die in the middle of a lease, which is over at once (its end is set back through the
database), and come back when others may have their seat. It ends when every seat is judged or the seconds are over. A
database that is named must be empty. Prints one JSON line; exit code 1 if anything was lost, doubled or over-assigned.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from http.client import HTTPException

from annotators import Annotator, Refused, Shown, findings, prepared_server, summary

SKIP_SHARE, TWICE_SHARE, DEATH_SHARE = 0.02, 0.05, 0.02
WITHOUT_WORK_SECONDS = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotators", type=int, default=32)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--seats", type=int, default=3)
    parser.add_argument("--think", type=float, default=0, help="mean seconds that a person reads before they submit")
    parser.add_argument("--seconds", type=float, default=600, help="stop after this long, done or not")
    parser.add_argument("--database", default="", help="URL of an empty database (default: SQLite)")
    options = parser.parse_args()
    size = {"annotators": options.annotators, "tasks": options.tasks, "seats": options.seats}
    with prepared_server(options.database, **size) as (server, sessions):
        over = threading.Event()
        crowd = [
            Person(Annotator(server.port, session, number), over, options.think)
            for number, session in enumerate(sessions)
        ]
        cpu, began = server.cpu_ms(), time.perf_counter()
        threads = [threading.Thread(target=person.work) for person in crowd]
        for thread in threads:
            thread.start()
        while seats_left() and time.perf_counter() - began < options.seconds:
            time.sleep(1)
        wall, cpu = time.perf_counter() - began, server.cpu_ms() - cpu
        over.set()
        for thread in threads:
            thread.join()
        found = report(crowd, options, wall, cpu)
    print(json.dumps(found))
    sys.exit(any(found[fault] for fault in ("over_assigned", "lost", "duplicated", "errors")))


class Person:
    def __init__(self, browser: Annotator, over: threading.Event, think: float) -> None:
        self.browser, self.over, self.think = browser, over, think
        self.acknowledged: set[str] = set()
        self.did: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def work(self) -> None:
        from django.db import connection

        shown = None
        self.over.wait(self.browser.random.uniform(0, self.think))  # people do not sit down in the same second
        while not self.over.is_set():
            try:
                shown = self._one_task(shown or self.browser.claim())
            except (Refused, OSError, HTTPException) as problem:
                self.browser.connection.close()
                self.errors[str(problem)[:200]] += 1
                shown = None
        connection.close()

    def _one_task(self, shown: Shown | None) -> Shown | None:
        chance = self.browser.random
        if shown is None:
            self.over.wait(WITHOUT_WORK_SECONDS)
            return None
        if self.think and self.over.wait(chance.uniform(0.5, 1.5) * self.think):
            return None
        fate = chance.random()
        if fate < SKIP_SHARE:
            self.did["skipped"] += 1
            return self.browser.skip(shown)
        if fate < SKIP_SHARE + DEATH_SHARE:
            return self._die(shown)
        following = self._submit(shown)
        if fate > 1 - TWICE_SHARE:
            self.did["submitted twice"] += 1
            self._submit(shown)  # the answer to the first one got lost on its way
        return following

    def _submit(self, shown: Shown) -> Shown | None:
        following = self.browser.submit(shown)
        self.acknowledged.add(shown.client_uuid)
        return following

    def _die(self, shown: Shown) -> Shown | None:
        """The lease runs out; later the person is back, and half of them hand in what they had."""
        from django.utils import timezone

        from annotation.models import Assignment

        self.did["died"] += 1
        Assignment.objects.filter(pk=shown.seat).update(expires_at=timezone.now() - timedelta(seconds=1))
        self.over.wait(self.browser.random.uniform(1, 10))
        return self._submit(shown) if self.browser.random.random() < 0.5 else None


def seats_left() -> bool:
    from annotation.models import Assignment, SeatStatus

    return Assignment.objects.filter(status__in=[SeatStatus.EMPTY, SeatStatus.HELD]).exists()


def report(crowd: list[Person], options: argparse.Namespace, wall: float, cpu: float) -> dict:
    from django.db import connection
    from django.db.models import Count

    from annotation.models import Assignment

    acknowledged = set().union(*(person.acknowledged for person in crowd))
    errors = sum((person.errors for person in crowd), Counter())
    found, judgments = findings(acknowledged), max(len(acknowledged), 1)
    statuses = dict(Assignment.objects.values_list("status").order_by("status").annotate(Count("id")))
    return {
        "annotators": options.annotators,
        "tasks": options.tasks,
        "seats": options.seats,
        "over_assigned": found["over_assigned"],
        "lost": found["lost"],
        "duplicated": found["duplicated"],
        "errors": errors.total(),
        "claim_ms": summary([ms for person in crowd for ms in person.browser.timings.claim_ms]),
        "submit_ms": summary([ms for person in crowd for ms in person.browser.timings.submit_ms]),
        "judgments": len(acknowledged),
        "judgments_per_second": round(len(acknowledged) / wall, 1),
        "server_cpu_ms_per_judgment": round(cpu / judgments, 1),
        "think_s": options.think,
        "wall_s": round(wall, 1),
        "did": dict(sum((person.did for person in crowd), Counter())),
        "seats_by_status": statuses,
        "error_texts": [text for text, _ in errors.most_common(3)],
        "database": connection.vendor,
    }


if __name__ == "__main__":
    main()
