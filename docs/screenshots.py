"""The pictures in docs/screenshots, taken of the running demo.

    make demo                                    # in one shell: it goes on serving
    .venv/bin/python docs/screenshots.py --password …   # in another one, with what the demo has shown

What the demo leaves out is added first, on its server: an evaluation that its annotators judge, and a project of
labelled reviews whose methods are compared. That takes some minutes, and with --only-pictures it is not done again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
LONGEST = 1360  # pixels of a page that are shown: the project page with its ladder
MODES = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "desktop-dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True},
    "phone-dark": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": "dark"},
}
SUBJECTS = (
    "The film",
    "The second half",
    "Her performance",
    "The script",
    "The music",
    "This sequel",
    "The ending",
    "His debut",
    "The remake",
    "The camera work",
    "The dialogue",
    "The cast",
    "The finale",
)
PRAISE = (
    "moved me",
    "is a joy from start to finish",
    "kept me smiling",
    "is clever and warm",
    "deserves every prize",
    "was worth the wait",
    "is quietly brilliant",
    "has real charm",
)
BLAME = (
    "bored me",
    "is a mess from start to finish",
    "kept me yawning",
    "is clumsy and cold",
    "deserves no audience",
    "was a waste of time",
    "is loudly stupid",
    "has no charm at all",
)
SET_UP = """
import json, os
from django.contrib.auth.models import User
from annotation.actions import projects, prompts
from annotation.imports import parse_prompts
from annotation.models import Project
from training.actions import prompt_tuning
from training.prompt_tuning.approaches import settings_of
asked = json.loads(os.environ["ASKED"])
admin = User.objects.get(username="admin")
base = Project.objects.get(slug=asked["demo"])
project = projects.create_project(
    project=Project(name=asked["name"], labels=["negative", "positive"], base_model=base.base_model), by=admin
)
parsed = parse_prompts(asked["rows"].encode(), "reviews.jsonl", labels=True)
prompts.import_prompts(project=project, parsed=parsed, by=admin)
projects.register_base_policy(project=project, checkpoint=base.policies.get(number=0).checkpoint)
templates = [
    prompt_tuning.save_template(project=project, name=f"template {number}", body=body, by=admin)
    for number, body in enumerate(asked["templates"], start=1)
]
words = {label: [label] for label in ("negative", "positive")}
verbalizer = prompt_tuning.save_verbalizer(project=project, name="plain", words=words, by=admin)
prompt_tuning.start_prompt_tuning(
    project=project, by=admin, templates=templates, verbalizer=verbalizer,
    settings=settings_of(asked["approaches"], shots=8, seeds=2),
)
print(project.slug)
"""
TEMPLATES = ("Review: {text}\nSentiment: {mask}", "{text}. All in all, the verdict is {mask}")
APPROACHES = ("zero_shot", "zero_shot_calibrated", "cloze_lora", "soft_prompt", "head_lora")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--password", required=True, help="of the demo's accounts, as it has shown it")
    parser.add_argument("--project", default="demo", help="slug of the demo's project")
    parser.add_argument("--reviews", default="reviews", help="slug of the project of labelled reviews")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--only-pictures", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("PREFLOOP_HOME", str(ROOT / "var" / "demo"))  # for the commands that are run beside it
    options.url = options.url.rstrip("/")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        if not options.only_pictures:
            options.reviews = compare_methods(options)
            evaluate(browser, options)
            wait_for_rounds(browser, options, options.reviews)
        options.out.mkdir(parents=True, exist_ok=True)
        for mode in MODES:
            take_pictures(browser, options, mode)
        browser.close()
    sizes = [path.stat().st_size for path in options.out.glob("*.png")]
    print(f"{len(sizes)} pictures, {sum(sizes) / 1e6:.2f} MB, in {options.out}")


# --- what the demo leaves out ----------------------------------------------------------------------------------


def compare_methods(options: argparse.Namespace) -> str:
    """A project of labelled reviews, and a round for its classifiers; the server's worker runs it."""
    rows = [
        json.dumps({"text": f"{subject} {verdict}.", "label": label})
        for label, verdicts in (("positive", PRAISE), ("negative", BLAME))
        for subject, verdict in itertools.product(SUBJECTS, verdicts)
    ]
    asked = {
        "demo": options.project,
        "name": options.reviews.capitalize(),
        "rows": "\n".join(rows),
        "templates": TEMPLATES,
        "approaches": APPROACHES,
    }
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", SET_UP]
    env = os.environ | {"ASKED": json.dumps(asked)}
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, env=env)
    return done.stdout.split()[-1]


def evaluate(browser: Browser, options: argparse.Namespace) -> None:
    """The newest version against the first, judged by the demo's annotators."""
    page = signed_in(browser, options, "admin")
    page.goto(f"{options.url}/projects/{options.project}/evaluation/")
    page.locator("form.start button[type=submit]").click()
    page.close()
    wait_for_rounds(browser, options, options.project)
    subprocess.run(
        [
            sys.executable,
            "manage.py",
            "simulate_annotators",
            "--project",
            options.project,
            "--annotators",
            "3",
            "--judge",
            "sentiment",
            "--noise",
            "0.2",
            "--tasks",
            "14",
            "--url",
            options.url,
        ],
        cwd=ROOT,
        check=True,
    )


def wait_for_rounds(browser: Browser, options: argparse.Namespace, slug: str, seconds: float = 3600) -> None:
    page = signed_in(browser, options, "admin")
    deadline = time.monotonic() + seconds
    while True:
        said = page.request.get(f"{options.url}/api/v1/projects/{slug}/rounds/").json()["results"][0]["status"]
        if said not in ("queued", "running"):
            break
        if time.monotonic() > deadline:
            raise SystemExit(f"The round of {slug} is still {said}")
        time.sleep(2)
    page.close()
    if said != "succeeded":
        raise SystemExit(f"The round of {slug} {said}")


# --- pictures --------------------------------------------------------------------------------------------------


def take_pictures(browser: Browser, options: argparse.Namespace, mode: str) -> None:
    demo, reviews = f"/projects/{options.project}", f"/projects/{options.reviews}"
    annotator = signed_in(browser, options, "annotator-1", mode)
    annotator.goto(f"{options.url}{demo}/")
    annotator.locator("#annotate").click()
    annotator.locator("#task").wait_for()
    if annotator.locator(".guidelines-first").count():  # asked once of each annotator
        annotator.locator(".guidelines-first button[type=submit]").click()
    annotator.locator("#task[data-ready]").wait_for()
    annotator.screenshot(path=options.out / f"work-{mode}.png")  # its bar stands at the foot of the window
    admin = signed_in(browser, options, "admin", mode)
    trained = trained_round(admin, options)
    pages = {
        "project": f"{demo}/",
        "policies": f"{demo}/policies/",
        "quality": f"{demo}/quality/",
        "methods": f"{reviews}/methods/",
        "round": f"{demo}/rounds/{trained}/",
    }
    for name, address in pages.items():
        admin.goto(f"{options.url}{address}")
        picture(admin, options, f"{name}-{mode}")
    admin.goto(f"{options.url}{demo}/rounds/{trained}/curves/")
    admin.locator("#curves canvas").first.wait_for()
    admin.wait_for_timeout(500)
    admin.locator("#curves").screenshot(path=options.out / f"curves-{mode}.png")
    annotator.context.close()
    admin.context.close()


def trained_round(page: Page, options: argparse.Namespace) -> int:
    """The newest that ran PPO."""
    found = page.request.get(f"{options.url}/api/v1/projects/{options.project}/rounds/").json()["results"]
    return next(each["number"] for each in found if any(run["method"] == "ppo" for run in each["runs"]))


def signed_in(browser: Browser, options: argparse.Namespace, username: str, mode: str = "desktop") -> Page:
    page = browser.new_context(**MODES[mode]).new_page()
    page.goto(f"{options.url}/accounts/login/")
    page.locator("[name=username]").fill(username)
    page.locator("[name=password]").fill(options.password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_load_state()
    return page


def picture(page: Page, options: argparse.Namespace, name: str) -> None:
    page.wait_for_load_state("load")
    page.wait_for_timeout(500)  # until curves are drawn and fonts stand
    width, height = page.viewport_size["width"], page.evaluate("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, LONGEST)}
    page.screenshot(path=options.out / f"{name}.png", full_page=True, clip=clip)


if __name__ == "__main__":
    main()
