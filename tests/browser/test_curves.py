"""The curves of a round: many points, a closer look, another round beside."""

from __future__ import annotations

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from training.models import Metric, RunStatus, TrainingRound, TrainingRun

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


@pytest.fixture
def round_with(project):
    def make(points, *names) -> TrainingRound:
        now = timezone.now()
        number = project.rounds.count() + 1
        round = TrainingRound.objects.create(
            project=project, number=number, status=RunStatus.SUCCEEDED, finished_at=now
        )
        run = TrainingRun.objects.create(
            round=round, position=0, method="ppo", status=RunStatus.SUCCEEDED, started_at=now, finished_at=now
        )
        Metric.objects.bulk_create(
            [Metric(run=run, step=step, name=name, value=step / number) for name in names for step in range(points)],
            batch_size=5000,
        )
        return round

    return make


def test_a_hundred_thousand_points_are_on_the_screen_at_once(visit, admin, round_with):
    names = [f"ppo/figure_{number}" for number in range(8)]
    round_with(10_000, "objective/kl", "objective/score", *names)
    visitor = visit(admin)
    visitor.goto("/projects/letters/rounds/1/curves/")
    kl = visitor.page.get_by_role("img", name="KL to the reference over 589 points up to step 9999")
    expect(kl.locator("canvas")).to_be_visible()
    assert visitor.page.evaluate(PAINTED) < 1000


def test_looking_closer_fetches_the_part_and_a_double_click_shows_all(visit, admin, round_with):
    round_with(3000, "objective/kl")
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/rounds/1/curves/")
    plot = page.get_by_role("img", name="KL to the reference over 600 points up to step 2999")
    expect(plot.locator("canvas")).to_be_visible()
    over = plot.locator(".u-over").bounding_box()
    middle = over["y"] + over["height"] / 2
    page.mouse.move(over["x"] + over["width"] * 0.4, middle)
    page.mouse.down()
    page.mouse.move(over["x"] + over["width"] * 0.5, middle, steps=4)
    page.mouse.up()
    # A tenth of 3000 steps: all of their points, where the whole curve shows every fifth.
    expect(page.get_by_role("img", name="KL to the reference over 3")).to_be_visible()
    page.get_by_role("button", name="All steps").click()
    expect(plot).to_be_visible()
    expect(page.get_by_role("button", name="All steps")).to_be_hidden()


def test_an_earlier_round_is_laid_beside_and_a_chart_saved(visit, admin, round_with):
    round_with(10, "objective/kl")
    round_with(10, "objective/kl")
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/rounds/2/curves/")
    figure = page.locator("figure", has_text="KL to the reference")
    expect(figure.locator(".readout")).to_have_text("4.5")
    page.get_by_label("Compare with").select_option("Round 1")
    expect(figure.locator(".readout")).to_have_text("4.5round 1 9")
    figure.hover()
    with page.expect_download() as download:
        figure.get_by_role("button", name="PNG").click()
    assert download.value.suggested_filename.endswith("kl-to-the-reference.png")
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
