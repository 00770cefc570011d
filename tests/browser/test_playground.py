"""Two versions blind in the playground: the text grows, the verdict opens the names and is a judgment."""

from __future__ import annotations

import re
import threading

import pytest
from django.db import connection
from playwright.sync_api import expect

from annotation.models import PolicyVersion, Ranking
from tests.browser.steps import PHONE
from tests.browser.test_accessibility import problems
from tests.tiny_model import tiny_checkpoint
from training.worker.playground import Generator

# A reply's number is its seed: with numbers that count from 1, the tiny models say the same in every run.
pytestmark = [
    pytest.mark.browser,
    pytest.mark.recipes,
    pytest.mark.django_db(transaction=True, reset_sequences=True),
]


@pytest.fixture
def two_versions(project, policy, tmp_path) -> None:
    policy.checkpoint = str(tiny_checkpoint(tmp_path / "base"))
    policy.save()
    other = tiny_checkpoint(tmp_path / "other", seed=1)
    PolicyVersion.objects.create(project=project, number=1, checkpoint=str(other), parent=policy)


@pytest.fixture
def writing():
    """A generator that runs beside, as `serve` has one."""
    generator = Generator()

    def write() -> None:
        try:
            generator.run_forever()
        finally:
            connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    yield
    generator.stop()
    thread.join()


def test_two_blind_and_then_their_names(visit, admin, two_versions, writing):
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/playground/")
    page.get_by_label("Message").fill("How is the sea today?")
    page.get_by_label("Compare blind with").select_option("0")
    page.get_by_label("Max tokens").fill("30")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("button", name="A is better")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("region", name="Response A").locator(".as-written")).not_to_be_empty()
    assert problems(page) == []
    assert not re.search(r"\bv[01]\b", page.locator("main").inner_text())
    page.get_by_role("button", name="B is better").click()
    expect(page.get_by_text(re.compile(r"You preferred v[01]\. Stored as an annotation\."))).to_be_visible()
    expect(page.get_by_role("region", name="Response A").get_by_role("link", name=re.compile("v[01]"))).to_be_visible()
    assert Ranking.objects.count() == 1
    page.get_by_label("Message").fill("And the sky?")
    page.get_by_label("Compare blind with").select_option("")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("list", name="Conversation").get_by_role("listitem")).to_have_count(3)
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=60_000)


def test_it_fits_a_phone(visit, admin, two_versions):
    visitor = visit(admin, **PHONE)
    visitor.goto("/projects/letters/playground/")
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert problems(visitor.page) == []
