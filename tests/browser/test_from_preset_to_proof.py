"""An admin builds a round from a preset, lets it go on past its quality gate, watches it finish and asks the new policy
something; an annotator judges ten blind comparisons; the win rate stands on the page. A tiny model, everything else as
in earnest.

Whether PPO makes this model better is a matter of chance, and is not asked: a reward model with one head has no judge,
so that the last policy is kept and its gate stays shut, whatever was learned.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest
from django.db import connection
from playwright.sync_api import Page, expect

from annotation.models import Assignment, Completion, PolicyVersion, SeatStatus, Split
from tests.browser.steps import get_task, press, ready
from tests.forked import ForkingExecutor
from tests.tiny_model import tiny_checkpoint
from training.worker.loop import Worker
from training.worker.playground import Generator

pytestmark = [
    pytest.mark.browser,
    pytest.mark.recipes,
    pytest.mark.django_db(transaction=True, reset_sequences=True),
]
# What stops a policy that goes astray, out of the way: in this model, which knows no words, any step is one.
UNSTOPPED = {
    "kl_limit": "10000",
    "entropy_floor": "0",
    "distinct_floor": "0",
    "length_floor": "0",
    "clipfrac_limit": "1",
    "ratio_limit": "1000000",
}


@pytest.fixture
def ready_to_train(project, policy, tmp_path, make_prompt, ranked_task, settings) -> None:
    settings.TRAINING_POLL_SECONDS = 0.1
    policy.checkpoint = str(tiny_checkpoint(tmp_path / "base"))
    policy.save()
    for number in range(6):
        prompt = make_prompt(f"Describe day {number}.", split=Split.TRAIN)
        ranked_task(("the sea is calm", "rain", "green and warm"), prompt=prompt)
    for number in range(25):
        make_prompt(f"Describe the sea on day {number}.", split=Split.EVAL)


@pytest.fixture
def serving() -> Iterator[None]:
    """A worker and a generator beside the pages, as `serve` has them."""
    both = [Worker(ForkingExecutor()), Generator()]

    def run(each) -> None:
        try:
            each.run_forever()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[each]) for each in both]
    for thread in threads:
        thread.start()
    yield
    for each in both:
        each.stop()
    for thread in threads:
        thread.join()


def wait_for_round(page: Page, status: str) -> None:
    """Reload the page of a round until the round stands still; its status is then the expected one."""
    for _ in range(300):
        if page.locator(".page-head .tag").inner_text() in ("Succeeded", "Failed", "Stopped at a gate"):
            break
        page.wait_for_timeout(2000)
        page.reload()
    expect(page.locator(".page-head .tag")).to_have_text(status)


def test_from_a_preset_to_a_win_rate(visit, admin, annotator, project, ready_to_train, serving):
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/rounds/new/")
    page.get_by_text("More plans").click()
    page.get_by_text("Full round with evaluation by people", exact=True).click()
    page.get_by_label("Quick: a smoke test").check()
    page.locator(".group > summary", has_text="Reward model").click()
    page.locator('[name="reward.heads"]').fill("1")
    page.locator('[name="reward.gate"]').select_option("report")  # six rankings teach nothing
    page.locator("summary", has_text=re.compile("^PPO")).click()
    page.locator('[name="ppo.gate"]').select_option("stop")
    page.locator("summary", has_text="More settings PPO").click()
    page.locator('[name="ppo.learning_rate"]').fill("0.02")  # far enough that no answer stays the same
    for name, value in UNSTOPPED.items():
        page.locator(f'[name="ppo.{name}"]').fill(value)
    page.get_by_role("button", name="Start round").click()
    expect(page.get_by_role("heading", name="Round 1")).to_be_visible()
    wait_for_round(page, "Stopped at a gate")
    expect(page.locator(".gate")).to_contain_text("train a reward model with 2 heads or more")
    page.get_by_role("button", name="Continue anyway").click()
    wait_for_round(page, "Succeeded")
    assert PolicyVersion.objects.get(number=1).parent.number == 0

    visitor.goto("/projects/letters/playground/")
    page.get_by_label("Message").fill("How is the sea?")
    page.get_by_label("Max tokens").fill("12")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("region", name="Response A").get_by_role("link", name="v1")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=60_000)

    judge = visit(annotator)
    get_task(judge)
    for number in range(10):
        ready(judge.page)
        seat = Assignment.objects.get(status=SeatStatus.HELD)
        first = Completion.objects.get(pk=seat.shown_order[0])
        assert seat.task.purpose == "evaluate"
        press(judge.page, "2" if (first.policy.number == 1) == (number < 7) else "4")  # the new one wins seven times
        press(judge.page, "Control+Enter")
        expect(judge.page.locator("#task")).to_contain_text(re.compile(rf"\b{number + 1} tasks?\b"))

    visitor.goto("/projects/letters/evaluation/")
    page.get_by_role("link", name="v1 against v0").click()
    expect(page.get_by_text("7 won, 0 tied, 3 lost")).to_be_visible()
    expect(page.locator(".main-measure")).to_contain_text(re.compile(r"\d\d\.\d%"))
