"""How soon the page of a round with many metrics stands, and whether its memory grows while it is watched, in Chromium.

    python benchmarks/round_page.py [--points 100000] [--looks 200]

A server of its own, as `manage.py serve` starts it, with one PPO run whose points are shared among ten metrics. Prints
one JSON line: first_paint_ms and curves_ms (until the last chart is drawn) with an empty cache, median of five;
page_kb and curves_kb on the wire; heap_mb after loading, after a quarter of the looks again and after all, each
time after a garbage collection.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from server import serve

ROOT = Path(__file__).resolve().parent.parent
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PASSWORD = "bench words"
NAMES = (
    "objective/kl",
    "objective/score",
    "objective/entropy",
    "objective/kl_coef",
    "objective/kl_round_start",
    "ppo/loss/policy",
    "ppo/policy/clipfrac",
    "ppo/val/var_explained",
    "response/length",
    "response/eos_share",
)
SET_UP = """
from math import sin
from django.contrib.auth.models import User
from django.utils import timezone
from annotation.actions import projects
from annotation.models import Project
from training.models import Metric, RunStatus, TrainingRound, TrainingRun
user = User.objects.create_user("bench", password="bench words")
project = projects.create_project(project=Project(name="Bench"), by=user)
now = timezone.now()
over = {{"status": RunStatus.SUCCEEDED, "finished_at": now}}
round = TrainingRound.objects.create(project=project, number=1, **over)
run = TrainingRun.objects.create(round=round, position=0, method="ppo", started_at=now, **over)
for name in {names}:
    rows = [Metric(run=run, step=step, name=name, value=sin(step / 40)) for step in range({steps})]
    Metric.objects.bulk_create(rows, batch_size=5000)
"""
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
DRAWN = "count => document.querySelectorAll('#curves canvas').length >= count && performance.now()"


def heap_mb(page: Page) -> float:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    used: float = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return round(used / 2**20, 2)


def measure(url: str, looks: int) -> dict[str, object]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    address = f"{url}/projects/bench/rounds/1/"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        page = browser.new_context().new_page()
        page.goto(f"{url}/accounts/login/")
        page.get_by_label("Username").fill("bench")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{url}/")
        state = page.context.storage_state()
        page.context.close()
        paints, drawn, sizes = [], [], {}
        for _ in range(5):  # each with an empty cache
            page = browser.new_context(storage_state=state).new_page()
            page.on("response", lambda response: sizes.setdefault(response.url, len(response.body())))
            page.goto(address)
            drawn.append(page.wait_for_function(DRAWN, arg=len(NAMES)).json_value())
            paints.append(page.evaluate(PAINTED))
        heaps = [heap_mb(page)]
        for more in (looks // 4, looks - looks // 4):
            for _ in range(more):
                with page.expect_response(lambda response: "metrics" in response.url):
                    page.locator("#look-again").click()
            heaps.append(heap_mb(page))
        browser.close()
    return {
        "first_paint_ms": round(statistics.median(paints)),
        "curves_ms": round(statistics.median(drawn)),
        "page_kb": round(sizes[address] / 1000, 1),
        "curves_kb": round(next(size for name, size in sizes.items() if "metrics" in name) / 1000, 1),
        "looks": [0, looks // 4, looks],
        "heap_mb": heaps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--looks", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prefloop-bench-") as folder:
        process, url = serve(Path(folder), SET_UP.format(names=NAMES, steps=options.points // len(NAMES)))
        try:
            print(json.dumps({"benchmark": "round_page", "points": options.points, **measure(url, options.looks)}))
        finally:
            process.terminate()
            process.wait(15)


if __name__ == "__main__":
    main()
