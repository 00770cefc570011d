"""What a claim costs as the queue grows: 95th percentile with few tasks in the table and with many.

    python benchmarks/claim_growth.py [--small 10000] [--large 1000000] [--claims 400] [--database URL]

Claims go through the action in this process. Beside them the bad case: somebody who has judged 5,000 tasks of the
highest priority whose other two seats are open, so that what is first in the queue is not for them. A database that is
named must be empty. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEOPLE, PROMPTS = 40, 1000
JUDGED_BY_ONE = 5000
NUMBERS = "WITH RECURSIVE numbers(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM numbers WHERE i < {last}) "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--claims", type=int, default=400)
    parser.add_argument("--database", default="", help="URL of an empty database (default: SQLite)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prefloop-growth-") as home:
        os.environ.update(PREFLOOP_HOME=home, DJANGO_SETTINGS_MODULE="frontend.settings")
        os.environ.pop("DATABASE_URL", None)
        if options.database:
            os.environ["DATABASE_URL"] = options.database
        sys.path.insert(0, str(ROOT))
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connection

        call_command("migrate", verbosity=0)
        project, people = set_up()
        add_tasks(project.pk, 1, options.small)
        small = claim_times(project, people, options.claims)
        add_tasks(project.pk, options.small + 1, options.large)
        large = claim_times(project, people, options.claims)
        bad = bad_case(project, people[0], options.large, options.claims)
        connection.close()
    p95_small, p95_large = p95(small), p95(large)
    report = {
        "p95_ms_small": round(p95_small, 2),
        "p95_ms_large": round(p95_large, 2),
        "ratio": round(p95_large / p95_small, 2),
        "p50_ms_small": round(statistics.median(small), 2),
        "p50_ms_large": round(statistics.median(large), 2),
        "judged_5000_first_ms": round(bad[0], 2),
        "judged_5000_p95_ms": round(p95(bad[1:]), 2),
        "small": options.small,
        "large": options.large,
        "claims": options.claims,
        "database": connection.vendor,
    }
    print(json.dumps(report))


def set_up():
    from django.contrib.auth.models import User

    from annotation.models import Completion, Membership, PolicyVersion, Project, Prompt, Role, Source, Split

    project = Project.objects.create(slug="growth", name="Growth")
    policy = PolicyVersion.objects.create(project=project, number=0, checkpoint="/nowhere")
    people = [User.objects.create_user(f"person-{number}") for number in range(PEOPLE)]
    Membership.objects.bulk_create(Membership(project=project, user=user, role=Role.ANNOTATOR) for user in people)
    messages = [[{"role": "user", "content": f"Question {number}"}] for number in range(PROMPTS)]
    prompts = Prompt.objects.bulk_create(
        Prompt(project=project, messages=text, digest=Prompt.digest_of(text), split=Split.TRAIN) for text in messages
    )
    Completion.objects.bulk_create(
        Completion(prompt=prompt, source=Source.POLICY, policy=policy, text=text) for prompt in prompts for text in "ab"
    )
    return project, people


def add_tasks(project: int, first: int, last: int, *, seats: int = 1, priority: int = 0) -> None:
    """Tasks `first` to `last` by number, each with two candidates: written by the database itself, for speed."""
    from django.db import connection

    numbers = NUMBERS.format(first=first, last=last)
    prompt = f"1 + i % {PROMPTS}"
    true, false = ("TRUE", "FALSE") if connection.vendor == "postgresql" else ("1", "0")
    insert = [
        "INSERT INTO annotation_task (id, project_id, prompt_id, kind, seats, planned_seats, priority, origin,"
        f" calibration, purpose, can_be_undone, place, created_at) {numbers} SELECT i, {project}, {prompt}, 'ranking',"
        f" {seats}, {seats}, {priority}, '', {false}, 'work', {true}, 0, CURRENT_TIMESTAMP FROM numbers",
        *(
            f"INSERT INTO annotation_candidate (task_id, completion_id) {numbers}"
            f" SELECT i, 2 * ({prompt}) - {which} FROM numbers"
            for which in (0, 1)
        ),
        *(
            "INSERT INTO annotation_assignment (task_id, seat_number, status, shown_order, draft, skip_reason,"
            f" active_ms, project_id, priority, undos_left) {numbers} SELECT i, {number}, 'empty', '[]', '{{}}', '', 0,"
            f" {project}, {priority}, 3 FROM numbers"
            for number in range(1, seats + 1)
        ),
    ]
    with connection.cursor() as cursor:
        for statement in insert:
            cursor.execute(statement)
        cursor.execute("ANALYZE")


def claim_times(project, people, count: int) -> list[float]:
    """Milliseconds of each claim; the seat is finished after it, so that the next claim looks for another."""
    from annotation.actions import assignments, queue

    taken = []
    for number in range(-20, count):
        person = people[1 + number % (len(people) - 1)]
        began = time.perf_counter()
        seat = queue.claim_next(project=project, by=person)
        if number >= 0:
            taken.append(1000 * (time.perf_counter() - began))
        assert seat is not None
        assignments.finish(assignment=seat, active_ms=900)
    return taken


def bad_case(project, person, tasks: int, count: int) -> list[float]:
    from django.utils import timezone

    from annotation.actions import assignments, queue
    from annotation.models import Assignment, SeatStatus

    add_tasks(project.pk, tasks + 1, tasks + JUDGED_BY_ONE, seats=3, priority=1)
    Assignment.objects.filter(task_id__gt=tasks, seat_number=1).update(
        status=SeatStatus.DONE, annotator_id=person.pk, claimed_at=timezone.now(), finished_at=timezone.now()
    )
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        seat = queue.claim_next(project=project, by=person)
        taken.append(1000 * (time.perf_counter() - began))
        assert seat is not None
        assert seat.priority == 0
        assignments.finish(assignment=seat, active_ms=900)
    return taken


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


if __name__ == "__main__":
    main()
