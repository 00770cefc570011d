"""The curves of a round: many points, a closer look, another round beside."""

from __future__ import annotations

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from training.models import Metric, RunStatus, TrainingRound, TrainingRun

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


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
    expect(figure.locator(".readout")).to_have_text("step 94.5")
    page.get_by_label("Compare with").select_option("Round 1")
    expect(figure.locator(".readout")).to_have_text("step 94.5round 1 9")
    figure.hover()
    with page.expect_download() as download:
        figure.get_by_role("button", name="as a picture").click()
    assert download.value.suggested_filename.endswith("kl-to-the-reference.png")
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_arrow_keys_move_one_cursor_along_all_charts_of_a_stage(visit, admin, round_with):
    round_with(10, "objective/kl", "objective/score")
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/rounds/1/curves/")
    kl, score = (page.locator("figure", has_text=title) for title in ("KL to the reference", "Score"))
    expect(kl.locator("canvas")).to_be_visible()
    kl.get_by_role("img").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(kl.locator(".readout")).to_have_text("step 22")
    expect(score.locator(".readout")).to_have_text("step 22")
    expect(page.locator("#announcer")).to_have_text("step 22")
    page.keyboard.press("End")
    expect(score.locator(".readout")).to_have_text("step 99")


def test_a_chart_is_smoothed_saved_as_a_table_and_shown_large(visit, admin, round_with):
    round_with(3, "objective/kl")  # 0, 1, 2
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/rounds/1/curves/")
    figure = page.locator("figure", has_text="KL to the reference")
    expect(figure.locator(".readout")).to_have_text("step 22")
    page.get_by_label("Smoothing").fill("0.5")
    # (0·¼ + 1·½ + 2·1) / (¼ + ½ + 1)
    expect(figure.locator(".readout")).to_have_text("step 21.43")
    with page.expect_download() as download:
        figure.get_by_role("button", name="as CSV").click()
    assert download.value.path().read_text().splitlines()[:2] == [
        "step,KL to the reference smoothed,KL to the reference",
        "0,0,0",
    ]
    figure.get_by_role("button", name="full screen").click()
    assert figure.locator("canvas").bounding_box()["height"] > 600
    page.keyboard.press("Escape")
    expect(figure).not_to_have_class("chart is-large")


def test_steps_are_whole_numbers_on_the_axis(visit, admin, round_with):
    round_with(4, "objective/kl")
    visitor = visit(admin)
    page = visitor.page
    page.add_init_script(
        """window.said = [];
        const write = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
          window.said.push(text);
          return write.call(this, text, ...place);
        };"""
    )
    visitor.goto("/projects/letters/rounds/1/curves/")
    expect(page.locator("figure canvas")).to_be_visible()
    said = page.evaluate("window.said")
    assert "step" in said
    assert {"0", "1", "2", "3"} <= set(said)
    assert not {"0.5", "1.5", "2.5"} & set(said)


def test_rounds_side_by_side_lay_their_curves_over_one_another(visit, admin, round_with):
    for _ in range(3):
        round_with(10, "objective/kl")
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/rounds/")
    for number in (1, 3):
        page.get_by_label(f"Compare round {number}").check()
    page.get_by_role("button", name="Compare the selected rounds").click()
    expect(page.get_by_role("heading", name="Compare rounds")).to_be_visible()
    readout = page.locator("figure", has_text="KL to the reference").locator(".readout")
    expect(readout).to_have_text("step 9round 1 9round 3 3")
