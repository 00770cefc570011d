"""What the annotation page costs on the wire, and how soon the next task can be worked on, in Chromium.

    python benchmarks/page_weight.py [--tasks 12]

A server of its own, as `manage.py serve` starts it, with collected static files and tasks of four answers of about 120
words. Prints one JSON line: first_load_kb and first_load_requests with an empty cache (median of three), reload_kb
with a full one; next_ms, next_kb and next_requests from the key press that submits to the next task being ready (the
median; of the requests the most); keys_to_rank_4: keys pressed for four answers in reverse and the submit.
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
SET_UP = """
import random, sys
from django.contrib.auth.models import User
from annotation.actions import projects, tasks
from annotation.models import Completion, PolicyVersion, Project, Prompt, Source, Split
user = User.objects.create_user("bench", password="bench words")
project = projects.create_project(project=Project(name="Bench", guidelines="Prefer *kind* answers."), by=user)
policy = PolicyVersion.objects.create(project=project, number=0, checkpoint="bench")
words = "the a sky light because blue scatters short waves air more than red and we see it where one looks".split()
dice = random.Random(0)
for number in range({count}):
    messages = [{{"role": "user", "content": f"Question {{number}}: why is the sky blue, and what else would be?"}}]
    prompt = Prompt.objects.create(
        project=project, messages=messages, digest=Prompt.digest_of(messages), split=Split.TRAIN
    )
    texts = [" ".join(dice.choices(words, k=120)) for _ in range(4)]
    answers = [
        Completion.objects.create(prompt=prompt, source=Source.POLICY, policy=policy, text=text) for text in texts
    ]
    tasks.open_task(prompt=prompt, kind="ranking", candidates=answers, seats=1)
"""
# Runs in the page: milliseconds from the key press to a task with another address being ready.
WATCH = """() => {
  const before = document.querySelector("#task").dataset.draftUrl;
  window.nextReady = new Promise((resolve) => {
    let pressed = 0;
    document.addEventListener("keydown", (event) => { if (event.key === "Enter") pressed = performance.now(); }, true);
    new MutationObserver((_, observer) => {
      const task = document.querySelector("#task[data-ready]");
      if (!task || task.dataset.draftUrl === before) return;
      observer.disconnect();
      requestAnimationFrame(() => resolve(performance.now() - pressed));
    }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-ready"] });
  });
}"""


class Wire:
    """Requests and bytes as the network saw them; what came from the cache is none."""

    def __init__(self, page: Page) -> None:
        self.requests: dict[str, str] = {}
        self.bytes = 0
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.requestWillBeSent", self._sent)
        session.on("Network.requestServedFromCache", lambda event: self.requests.pop(event["requestId"], None))
        session.on("Network.responseReceived", self._received)
        session.on("Network.loadingFinished", lambda event: self._count(event["encodedDataLength"]))

    def _sent(self, event: dict) -> None:
        if not event["request"]["url"].startswith("data:"):
            self.requests[event["requestId"]] = event["request"]["url"]

    def _received(self, event: dict) -> None:
        if event["response"].get("fromDiskCache"):
            self.requests.pop(event["requestId"], None)

    def _count(self, length: float) -> None:
        self.bytes += int(length)

    def reset(self) -> None:
        self.requests, self.bytes = {}, 0

    @property
    def kb(self) -> float:
        return round(self.bytes / 1000, 1)


def measure(url: str) -> dict[str, float]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{url}/accounts/login/")
        page.get_by_label("Username").fill("bench")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{url}/")
        page.goto(f"{url}/projects/bench/annotate/")
        page.get_by_role("button", name="Start annotating").click()
        page.wait_for_selector("#task[data-ready]")
        task, state = page.url, context.storage_state()
        context.close()

        loads = []
        for _ in range(3):  # each with an empty cache
            context = browser.new_context(storage_state=state)
            page = context.new_page()
            wire = Wire(page)
            page.goto(task)
            page.wait_for_selector("#task[data-ready]")
            page.wait_for_timeout(1000)
            loads.append((wire.kb, len(wire.requests)))
        wire.reset()
        page.reload()
        page.wait_for_selector("#task[data-ready]")
        page.wait_for_timeout(1000)
        reload_kb = wire.kb

        nexts = []
        while page.locator("#task[data-ready]").count():
            # In reverse: the last of four follows by itself.
            for key in ("4", "3", "2"):
                page.keyboard.press(key)
            page.wait_for_timeout(900)  # the draft is saved
            page.evaluate(WATCH)
            wire.reset()
            page.keyboard.press("Control+Enter")
            ready = page.evaluate(
                "() => Promise.race([window.nextReady, new Promise((done) => setTimeout(done, 3000, null))])"
            )
            if ready is None:
                break  # that was the last task
            page.wait_for_timeout(300)
            nexts.append((ready, wire.kb, len(wire.requests)))
        version = browser.version
        browser.close()
    return {
        "first_load_kb": statistics.median(kb for kb, _ in loads),
        "first_load_requests": max(count for _, count in loads),
        "reload_kb": reload_kb,
        "next_ms": round(statistics.median(ms for ms, _, _ in nexts), 1),
        "next_ms_max": round(max(ms for ms, _, _ in nexts), 1),
        "next_requests": max(count for _, _, count in nexts),
        "next_kb": statistics.median(kb for _, kb, _ in nexts),
        "keys_to_rank_4": len(["4", "3", "2", "Control", "Enter"]),
        "tasks": len(nexts),
        "chromium": version,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=12, help="tasks to go through")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prefloop-bench-") as folder:
        process, url = serve(Path(folder), SET_UP.format(count=options.tasks + 1))
        try:
            print(json.dumps(measure(url)))
        finally:
            process.terminate()
            process.wait(15)


if __name__ == "__main__":
    main()
