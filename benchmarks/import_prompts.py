"""Importing prompts while people work: rows a second, and what it does to the time that a claim takes.

    python benchmarks/import_prompts.py [--prompts 1000000] [--claims 400]

A process claims and gives back assignments all the time; its 95th percentile is taken before the import and during it.
How far it is
stands on stderr every ten seconds. Prints one JSON line; `claim_p95_ratio` is the second over the first. Linux only
(reads ru_maxrss in KiB).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAUSE = 0.02  # between two claims
TOLD_EVERY = 10  # seconds


def open_tasks(count: int) -> None:
    import django

    django.setup()
    from django.contrib.auth.models import User

    from annotation.actions import projects, tasks
    from annotation.models import Completion, Project, Prompt, Split

    project = projects.create_project(project=Project(name="Bench"), by=User.objects.create_user("bench"))
    for number in range(count):
        messages = [{"role": "user", "content": f"Open question {number}"}]
        digest = Prompt.digest_of(messages)
        prompt = Prompt.objects.create(project=project, messages=messages, digest=digest, split=Split.of(digest))
        answers = [Completion.objects.create(prompt=prompt, source="imported", text=text) for text in ("Yes.", "No.")]
        tasks.open_task(prompt=prompt, kind="ranking", candidates=answers, seats=1)


def claim_once(number: int) -> float:
    """Milliseconds that one claim took; the seat is given back by skipping."""
    from django.contrib.auth.models import User

    from annotation.actions import assignments, queue
    from annotation.models import Membership, Project

    person = User.objects.create_user(f"claimer-{number}-{time.time_ns()}")
    project = Project.objects.get(slug="bench")
    Membership.objects.create(project=project, user=person)
    started = time.perf_counter()
    seat = queue.claim_next(project=project, by=person)
    took = 1000 * (time.perf_counter() - started)
    if seat is None:
        raise SystemExit("No seat was free.")
    assignments.skip(assignment=seat, reason="benchmark")
    time.sleep(PAUSE)
    return took


def p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def write_prompts(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            row = {"id": f"p{number}", "text": f"Question {number}: what is the best way to spend a rainy afternoon?"}
            file.write(json.dumps(row) + "\n")


def measure(path: Path, prompts: int, claims: int) -> dict[str, Any]:
    before = [claim_once(number) for number in range(claims)]
    started = time.perf_counter()
    command = [sys.executable, "manage.py", "import_prompts", str(path), "--project", "bench"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    during: list[float] = []
    told = started
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        during.append(claim_once(len(during)))
        if time.perf_counter() - told > TOLD_EVERY:
            told = time.perf_counter()
            tell(prompts, told - started)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit("The import failed.")
    return {
        "prompts_per_second": round(prompts / seconds),
        "peak_rss_mb": round(usage.ru_maxrss / 1024, 1),
        "claim_p95_ms_before": round(p95(before), 2),
        "claim_p95_ms_during": round(p95(during), 2),
        "claim_p95_ratio": round(p95(during) / p95(before), 2),
        "claims_during": len(during),
    }


def tell(prompts: int, seconds: float) -> None:
    """Say how many rows the command has imported so far, and how long the others will take."""
    from annotation.models import PromptUpload

    done = PromptUpload.objects.values_list("done", flat=True).first() or 0
    left = f", about {seconds * (prompts - done) / done / 60:.0f} more minutes" if done else ", reading the file"
    print(f"{done:,} of {prompts:,} rows, {done / seconds:,.0f} a second{left}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=1_000_000)
    parser.add_argument(
        "--claims", type=int, default=400, help="before the import; during it, as many as there is time"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"PREFLOOP_HOME": home, "DJANGO_SETTINGS_MODULE": "frontend.settings"}
        sys.path.insert(0, str(ROOT))
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, check=True)
        open_tasks(200)
        path = Path(home) / "prompts.jsonl"
        write_prompts(path, options.prompts)
        figures = measure(path, options.prompts, options.claims)
        print(json.dumps({"benchmark": "import_prompts", "prompts": options.prompts, **figures}))


if __name__ == "__main__":
    main()
