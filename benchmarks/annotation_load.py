"""Annotators without a pause between tasks: judgments per second, and what a judgment costs the server.

    python benchmarks/annotation_load.py [--annotators 32] [--seconds 30] [--database URL]

Through the pages, by real HTTP, with sessions, CSRF and permissions: a submit stores the judgment, claims the next
seat and answers with its page. A database that is named must be empty. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections import Counter
from http.client import HTTPException

from annotators import Annotator, Refused, findings, prepared_server, summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotators", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--tasks", type=int, default=6000)
    parser.add_argument("--database", default="", help="URL of an empty database (default: SQLite)")
    options = parser.parse_args()
    size = {"annotators": options.annotators, "tasks": options.tasks, "seats": 1}
    with prepared_server(options.database, **size) as (server, sessions):
        crowd = [Worker(server.port, session, number) for number, session in enumerate(sessions)]
        crowd[0].browser.claim()  # the first request of all loads templates
        cpu, began = server.cpu_ms(), time.perf_counter()
        threads = [threading.Thread(target=worker.work, args=[began + options.seconds]) for worker in crowd]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall, cpu = time.perf_counter() - began, server.cpu_ms() - cpu
        print(json.dumps(report(crowd, options, wall, cpu, server.rss_mb())))


class Worker:
    def __init__(self, port: int, session: str, number: int) -> None:
        self.browser = Annotator(port, session, number)
        self.acknowledged: set[str] = set()
        self.errors: Counter[str] = Counter()

    def work(self, until: float) -> None:
        shown = None
        while time.perf_counter() < until:
            try:
                shown = shown or self.browser.claim()
                if shown is None:
                    return
                following = self.browser.submit(shown)
                self.acknowledged.add(shown.client_uuid)
                shown = following
            except (Refused, OSError, HTTPException) as problem:
                self.browser.connection.close()
                self.errors[str(problem)[:100]] += 1
                shown = None


def report(crowd: list[Worker], options: argparse.Namespace, wall: float, cpu: float, rss_mb: float) -> dict:
    from django.db import connection
    from django.db.models import Count

    from annotation.models import Assignment, Ranking

    acknowledged = set().union(*(worker.acknowledged for worker in crowd))
    errors = sum((worker.errors for worker in crowd), Counter())
    found, judgments = findings(acknowledged), max(len(acknowledged), 1)
    given = Assignment.objects.exclude(annotator=None).values("task").order_by().annotate(n=Count("annotator"))
    per_task = Ranking.objects.values("assignment__task").order_by().annotate(n=Count("id"))
    claim_ms = [ms for worker in crowd for ms in worker.browser.timings.claim_ms]
    submit_ms = [ms for worker in crowd for ms in worker.browser.timings.submit_ms]
    return {
        "annotators": options.annotators,
        "judgments": len(acknowledged),
        "judgments_per_second": round(len(acknowledged) / wall, 1),
        "server_cpu_ms_per_judgment": round(cpu / judgments, 1),
        "claim_ms": summary(claim_ms),
        "submit_ms": summary(submit_ms),
        "over_assigned": found["over_assigned"],
        "lost": found["lost"],
        "duplicated": found["duplicated"],
        "errors": dict(errors),
        "tasks_given_to_2+_users": given.filter(n__gt=1).count(),
        "distinct_tasks_given": given.count(),
        "stored_judgments": found["stored"],
        "tasks_by_n_judgments": dict(Counter(row["n"] for row in per_task)),
        "wall_s": round(wall, 1),
        "rss_mb": rss_mb,
        "database": connection.vendor,
    }


if __name__ == "__main__":
    main()
