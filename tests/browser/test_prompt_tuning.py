"""An admin makes a classifier out of a model: a template, a verbalizer that the linter refuses at first, a real run."""

from __future__ import annotations

import pytest
from django.test import Client
from playwright.sync_api import expect

from annotation.models import ImportedLabel, PolicyVersion, Split
from tests.forked import ForkingExecutor
from tests.tiny_model import tiny_checkpoint
from training.models import TrainingRun
from training.worker.loop import Worker

pytestmark = [pytest.mark.browser, pytest.mark.recipes, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def classifying(project, tmp_path) -> None:
    PolicyVersion.objects.create(project=project, number=0, checkpoint=str(tiny_checkpoint(tmp_path / "base")))
    for number in range(24):
        label = "fine" if number % 2 else "poor"
        ImportedLabel.objects.create(
            project=project,
            text=f"The sea is {'calm' if number % 2 else 'rainy'} on day {number}.",
            label=label,
            digest=str(number),
            split=Split.EVAL if number < 8 else Split.TRAIN,
        )


def test_from_a_template_to_figures(visit, admin, project, classifying):
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/prompt-tuning/")
    page.get_by_role("link", name="New template").click()
    page.get_by_label("Name").fill("day")
    page.get_by_label("Template").press_sequentially("{text} It was a {mask} day")
    expect(page.locator("#rows")).to_contain_text("24 example texts")
    expect(page.locator("#rows tbody tr").first).to_contain_text("The sea is rainy on day 0. It was a ____ day")
    page.get_by_role("button", name="Save").click()

    page.get_by_role("link", name="New verbalizer").click()
    expect(page.get_by_label("Labels and their words")).to_have_value("fine: fine\npoor: poor")
    page.get_by_label("Name").fill("plain")
    page.get_by_label("Labels and their words").fill("fine: good\npoor: goodness")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".note.error", has_text="begin with the same tokens")).to_be_visible()
    page.get_by_label("Labels and their words").fill("fine: good\npoor: bad")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Save anyway").click()  # two tokens here: a warning
    expect(page.get_by_role("heading", name="Run", exact=True)).to_be_visible()

    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("heading", name="Round 1")).to_be_visible()
    Worker(ForkingExecutor()).run_until_idle()
    run = TrainingRun.objects.get()
    assert run.status == "succeeded", run.error
    page.reload()
    shown = f"{run.result['accuracy']:.1%}"
    expect(page.get_by_role("row", name="Zero-shot")).to_contain_text(shown)
    page.get_by_role("link", name="Slices").click()
    expect(page.locator(".label-bars")).to_contain_text(f"predicted {run.result['said']['fine']}")
    page.get_by_role("link", name="Summary").click()
    page.get_by_role("link", name="Compare all methods").click()
    expect(page.get_by_text(f"Zero-shot is the most accurate: {shown}")).to_be_visible()
    expect(page.get_by_role("img", name=f"Accuracy by method: Zero-shot {shown}")).to_be_visible()
    client = Client()
    client.force_login(admin)
    assert client.get("/projects/letters/methods/1.csv").content.count(b"\n") == 2
