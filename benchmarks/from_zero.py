"""From an empty server to a policy that people compared blind, in Chromium alone: no shell, no Django admin.

    python benchmarks/from_zero.py [--prompts 30]

A server of its own on an empty folder, as `prefloop serve` starts it, with its worker. The admin makes their account, a
project with the bundled model, imports a CSV, invites two people and generates responses; the two join by their links
and rank everything; a small full round runs; both compare the new policy with the base model, blind. Prints one JSON
line: clicks and decisions of the admin until the first annotation is possible (what is typed into a field that a click
or Tab leads to is no click; a decision is a value for which no default would do), seconds_to_first_annotation, seconds,
annotations, gates that the admin let pass, comparisons, win_rate, and console_errors, which fail the run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from annotation.simulated_judges import SentimentJudge  # noqa: E402 -- from a checkout that need not be installed

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PASSWORD = "correct horse battery staple"
ANNOTATORS = ("ada", "grace")
THINGS = ("the sea", "a rainy Sunday", "fresh bread", "an old friend", "the first snow", "a long walk")
ASKS = (
    "Write one sentence about {}.",
    "What do you think of {}?",
    "Describe {} to a child.",
    "What would you miss about {}?",
    "Tell me something about {}.",
)
# Small enough for two cores without a GPU. On so few rankings no held-out head could tell a better policy, so there is
# none, and the last step is kept: people compare it. The rate takes it far enough to answer in other words.
ROUND = {
    "reward.heads": "1",
    "ppo.episodes": "128",
    "ppo.learning_rate": "0.002",
    "ppo.eval_completions": "1",
    "sample.prompts": "8",
}
LOOK_EVERY_SECONDS = 2.0


@dataclass
class Admin:
    """Who sets up the server: counts clicks, and decisions by what they are about."""

    page: Page
    clicks: int = 0
    decisions: list[str] = field(default_factory=list)

    def click(self, selector: str) -> None:
        self.clicks += 1
        self.page.click(selector)

    def decide(self, what: str, values: dict[str, str]) -> None:
        """Fill in fields: one decision, however many fields it takes."""
        self.decisions.append(what)
        for selector, value in values.items():
            self.page.fill(selector, value)

    def choose_file(self, path: Path) -> None:
        self.clicks += 1
        self.decisions.append("the file of prompts")
        self.page.set_input_files("input[type=file]", path)

    def next_step(self) -> None:
        """Click the button of the checklist's next step."""
        self.click(".step.is-next :is(a, button).primary")

    def reload_until(self, selector: str, seconds: float) -> None:
        """Wait for the server, as a person who looks at the page; a failed round or model ends the run."""
        until = time.monotonic() + seconds
        while not self.page.locator(selector).count():
            if (failed := self.page.locator(".step .bad, .note.error")).count():
                raise SystemExit(f"{self.page.url}: {failed.first.inner_text()}")
            if time.monotonic() > until:
                raise SystemExit(f"{self.page.url}: no {selector} after {seconds:.0f} s")
            time.sleep(LOOK_EVERY_SECONDS)
            self.page.reload()


class Run:
    """One run against an empty server; `say` gets a line for each thing that is done."""

    def __init__(self, url: str, browser: Browser, *, prompts: int, folder: Path, say: Callable[[str], object]) -> None:
        self.url, self.browser, self.say = url, browser, say
        self.file = folder / "prompts.csv"
        texts = [ask.format(thing) for ask in ASKS for thing in THINGS]
        if not 0 < prompts <= len(texts):
            raise SystemExit(f"--prompts should be from 1 to {len(texts)}")
        self.file.write_text("\n".join(["text", *(f'"{text}"' for text in texts[:prompts])]) + "\n", encoding="utf-8")
        self.errors: list[str] = []
        self.judge = SentimentJudge()
        self.began = time.monotonic()

    def open_page(self) -> Page:
        """Return a page of a browser of its own, whose console is listened to."""
        page = self.browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(120_000)  # reached only where something is wrong; a busy machine is slow
        page.on("console", lambda line: self.errors.append(line.text) if line.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        return page

    def run(self, *, train: bool = True) -> dict[str, Any]:
        """Return what was counted; without `train` up to the annotations."""
        admin = Admin(self.open_page())
        links = self._set_up(admin)
        counted = {"clicks": admin.clicks, "decisions": len(admin.decisions), "decided": list(admin.decisions)}
        counted["seconds_to_first_annotation"] = round(time.monotonic() - self.began)
        self.say(f"The first annotation is possible: {json.dumps(counted)}")
        pages = [self._join(link, name) for link, name in zip(links, ANNOTATORS, strict=True)]
        annotations = self._rank(pages)
        self.say(f"{annotations} annotations")
        if not train:
            return {**counted, "annotations": annotations, "console_errors": self.errors}
        overridden = self._train(admin)
        comparisons, win_rate = self._evaluate(admin, pages)
        return {
            **counted,
            "seconds": round(time.monotonic() - self.began),
            "annotations": annotations,
            "gates_overridden": overridden,
            "comparisons": comparisons,
            "win_rate": win_rate,
            "console_errors": self.errors,
        }

    def _set_up(self, admin: Admin) -> list[str]:
        """Make the admin, the project and the invitations, up to open tasks; return the links of the invitations."""
        page = admin.page
        page.goto(self.url)
        admin.decide(
            "the admin's account", {"#id_username": "olga", "#id_password1": PASSWORD, "#id_password2": PASSWORD}
        )
        admin.click("main button[type=submit]")
        page.wait_for_url("**/projects/new/")
        admin.decide("the project's name", {"#id_name": "Kind words"})
        page.eval_on_selector(
            "#id_answer_tokens", "field => { field.value = 24; }"
        )  # for two cores; counts for nothing
        admin.click("#project-form button.primary")
        page.wait_for_selector(".checklist")
        admin.next_step()
        page.wait_for_selector("input[type=file]")
        admin.choose_file(self.file)
        admin.click("form[enctype] button[type=submit]")
        page.wait_for_selector("form[action$='/take/']")
        admin.click("form[action$='/take/'] button")
        page.wait_for_load_state()
        admin.click(".where a")
        self.say("Prompts are imported")
        admin.next_step()
        page.wait_for_selector("#id_notes")
        admin.decide("who is invited", {"#id_notes": "\n".join(ANNOTATORS)})
        admin.click("form:has(#id_notes) button[type=submit]")
        page.wait_for_selector("input[id^=link-]")
        links = [each.input_value() for each in page.locator("input[id^=link-]").all()]
        admin.click(".page-head a[href$='/projects/kind-words/']")
        admin.reload_until(".step.is-next form[action$='/rounds/generate/']", 900)
        self.say("The model is prepared")
        admin.next_step()
        admin.reload_until(".step.is-next form[action$='/annotate/']", 1800)
        return links

    def _join(self, link: str, name: str) -> Page:
        page = self.open_page()
        page.goto(link)
        for selector, value in {"#id_username": name, "#id_password1": PASSWORD, "#id_password2": PASSWORD}.items():
            page.fill(selector, value)
        page.click("main button[type=submit]")
        page.wait_for_selector("#annotate")
        return page

    def _rank(self, pages: list[Page]) -> int:
        """Let the first person do a third of the queue and the second the rest; return how many they did."""
        done = 0
        for page, most in zip(pages, (10, 1000), strict=True):
            page.click("#annotate")
            self._acknowledge_guidelines(page)
            for _ in range(most):
                if not self._answer(page):
                    break
                done += 1
        return done

    def _acknowledge_guidelines(self, page: Page) -> None:
        """Go past the guidelines, which come before the first task of a project that has some."""
        page.wait_for_selector("#task[data-ready], #task.no-task, #task.guidelines-first")
        if page.locator("#task.guidelines-first").count():
            page.click("#task.guidelines-first button.primary")

    def _answer(self, page: Page, *, comparisons_only: bool = False) -> bool:
        """Do the task that is shown and wait for the next one; return False where there is none of those wanted."""
        page.wait_for_selector("#task[data-ready], #task.no-task")
        task = page.locator("#task")
        if page.locator("#task.no-task").count() or (comparisons_only and not page.locator(".graded").count()):
            return False
        key = task.get_attribute("data-key")
        if page.locator(".reference").count():
            page.fill("#text", self.judge.improve("Here is a kind answer."))
        else:
            self._order(page)
        page.keyboard.press("Control+Enter")
        page.wait_for_function(
            "key => { const task = document.querySelector('#task'); return task && task.dataset.key !== key; }", arg=key
        )
        return True

    def _order(self, page: Page) -> None:
        """Rank the responses shown, the kindest first, by their numbers; of two choose the kinder one."""
        shown = {
            card.get_attribute("data-number"): self.judge.score(card.locator(".answer-text").inner_text())
            for card in page.locator(".answer[data-number]").all()
        }
        if page.locator(".graded").count():
            first, second = (shown[letter] for letter in "AB")
            page.keyboard.press("3" if first == second else "2" if first > second else "4")
            return
        for number in sorted(shown, key=lambda number: -shown[number])[:-1]:  # the last one follows
            page.keyboard.press(str(number))

    def _train(self, admin: Admin) -> int:
        """Start the smallest full round and see it through; return how many gates the admin let it pass."""
        page, overridden = admin.page, 0
        page.goto(f"{self.url}/projects/kind-words/")
        admin.next_step()
        page.wait_for_selector("form.start")
        page.check("input[name=preset][value=quick]")
        for name, value in ROUND.items():
            method = name.partition(".")[0]
            folds = f"details[data-method={method}], details[data-method={method}] details"
            page.eval_on_selector_all(folds, "folds => folds.forEach((fold) => { fold.open = true; })")
            page.fill(f"[name='{name}']", value)
        page.click("form.start button.primary")
        page.wait_for_url("**/rounds/2/")
        while not page.locator(".page-head .tag.succeeded").count():
            if page.locator(".page-head .tag.failed").count():
                raise SystemExit(f"The round failed: {page.locator('main').inner_text()[:2000]}")
            if page.locator("form[action$='/go-on/']").count():
                self.say(f"A gate: {page.locator('.note').first.inner_text()}")
                page.click("form[action$='/go-on/'] button")
                overridden += 1
            time.sleep(LOOK_EVERY_SECONDS)
            page.reload()
        self.say("The round is done")
        return overridden

    def _evaluate(self, admin: Admin, pages: list[Page]) -> tuple[int, str]:
        """Compare v1 with v0 blind; return how many comparisons were made, and the win rate as the page shows it."""
        page = admin.page
        page.goto(f"{self.url}/projects/kind-words/evaluation/")
        page.click("form.start button[type=submit]")
        done = 0
        page.wait_for_load_state()
        admin.reload_until("table a[href$='/evaluation/1/']", 1800)
        for person, most in zip(pages, (2, 1000), strict=True):
            person.goto(f"{self.url}/projects/kind-words/")
            person.click("#annotate")
            for _ in range(most):
                if not self._answer(person, comparisons_only=True):
                    break
                done += 1
        page.click("table a[href$='/evaluation/1/']")
        measure = page.locator(".main-measure")
        measure.wait_for()
        return done, " ".join(measure.inner_text().split())


@contextlib.contextmanager
def empty_server(folder: Path) -> Iterator[str]:
    """Serve from an empty folder with the embedded worker; yield the address."""
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    environment |= {"PREFLOOP_HOME": str(folder / "home"), "DJANGO_SETTINGS_MODULE": "frontend.settings"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("wb") as log:
        command = [sys.executable, "manage.py", "serve", "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_for(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(60)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit("The server ended. Is something missing? See server.log.")
        try:
            urllib.request.urlopen(f"{url}/health/", timeout=2)
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("The server did not start.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=30)
    options = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory() as name, empty_server(Path(name)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM") or chromium, args=QUIET)
        found = Run(
            url, browser, prompts=options.prompts, folder=Path(name), say=lambda line: print(line, file=sys.stderr)
        ).run()
        browser.close()
    print(json.dumps(found))
    if found["console_errors"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
