"""Rankings to preference JSONL: `manage.py export` as a process of its own, on a database of so many rankings.

    python benchmarks/export.py [--rankings 50000] [--candidates 4]

Prints one JSON line: pairs written, seconds from the start of the process to its end (and of
processor, for machines that do other work beside), the most memory it held and the
milliseconds until its first byte. Both include starting Python and Django. Linux only (reads ru_maxrss in KiB).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
AT_ONCE = 1000


def fill(rankings: int, candidates: int) -> None:
    """A project whose tasks have been ranked once each. Straight into the tables: reading is what is measured."""
    import django

    django.setup()
    from django.contrib.auth.models import User

    from annotation.models import PolicyVersion, Project

    project = Project.objects.create(slug="bench", name="Bench")
    policy = PolicyVersion.objects.create(project=project, number=0, checkpoint="/models/base")
    people = [User.objects.create_user(f"annotator-{number}") for number in range(20)]
    for start in range(0, rankings, AT_ONCE):
        _fill_some(project, policy, people, range(start, min(start + AT_ONCE, rankings)), candidates)


def _fill_some(project: Any, policy: Any, people: list[Any], numbers: range, candidates: int) -> None:
    from annotation.models import Assignment, Candidate, Completion, Prompt, Ranking, SeatStatus, Split, Task

    chance = random.Random(numbers.start)
    now = datetime.now(UTC)
    prompts = []
    for number in numbers:
        messages = [{"role": "user", "content": f"Question {number}: what do you say to a friend who is late again?"}]
        digest = Prompt.digest_of(messages)
        prompts.append(Prompt(project=project, messages=messages, digest=digest, split=Split.of(digest)))
    Prompt.objects.bulk_create(prompts)
    texts = [
        Completion(prompt=prompt, source="policy", policy=policy, text=f"Answer {place}. " + "Some words. " * 15)
        for prompt in prompts
        for place in range(candidates)
    ]
    Completion.objects.bulk_create(texts)
    tasks = Task.objects.bulk_create([Task(project=project, prompt=prompt, kind="ranking") for prompt in prompts])
    shown = [[text.pk for text in texts[place * candidates : (place + 1) * candidates]] for place in range(len(tasks))]
    Candidate.objects.bulk_create(
        [Candidate(task=task, completion_id=pk) for task, pks in zip(tasks, shown, strict=True) for pk in pks]
    )
    seats = Assignment.objects.bulk_create(
        [
            Assignment(
                task=task,
                seat_number=1,
                project=project,
                status=SeatStatus.DONE,
                annotator=chance.choice(people),
                finished_at=now,
                claimed_at=now,
                shown_order=pks,
                active_ms=20_000,
            )
            for task, pks in zip(tasks, shown, strict=True)
        ]
    )
    Ranking.objects.bulk_create(
        [
            Ranking(assignment=seat, client_uuid=uuid.uuid4(), tiers=[[pk] for pk in chance.sample(pks, len(pks))])
            for seat, pks in zip(seats, shown, strict=True)
        ]
    )


def measure(environment: dict[str, str]) -> dict[str, Any]:
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "export", "bench", "--output", "-"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    first = process.stdout.read(1)
    first_byte = time.perf_counter() - started
    pairs = first.count(b"\n")
    while chunk := process.stdout.read(1 << 20):
        pairs += chunk.count(b"\n")
    _, status, usage = os.wait4(process.pid, 0)  # of this child alone
    if status:
        raise SystemExit("The export failed.")
    return {
        "pairs": pairs,
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_rss_mb": round(usage.ru_maxrss / 1024, 1),
        "first_byte_ms": round(1000 * first_byte),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rankings", type=int, default=50_000)
    parser.add_argument("--candidates", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"PREFLOOP_HOME": home, "DJANGO_SETTINGS_MODULE": "frontend.settings"}
        os.environ.pop("DATABASE_URL", None)
        sys.path.insert(0, str(ROOT))
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, check=True)
        fill(options.rankings, options.candidates)
        print(json.dumps({"benchmark": "export", "rankings": options.rankings, **measure(dict(os.environ))}))


if __name__ == "__main__":
    main()
