"""Every page on a desk and on a phone: nothing sticks out at the side, nothing complains in the console."""

from __future__ import annotations

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from annotation.actions import snapshots
from annotation.models import PromptUpload
from training.models import Metric, RunStatus, TrainingRound, TrainingRun

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SIZES = {"desk": (1280, 800), "phone": (360, 740)}


@pytest.fixture
def round_with_curves(project) -> TrainingRound:
    now = timezone.now()
    round = TrainingRound.objects.create(project=project, number=1, status=RunStatus.RUNNING)
    reward = TrainingRun.objects.create(
        round=round, position=0, method="reward", status=RunStatus.SUCCEEDED, attempt=1, started_at=now,
        finished_at=now, result={"accuracy": 0.8125, "ci95": [0.742, 0.871], "n": 192, "length_baseline": 0.5573},
    )  # fmt: skip
    ppo = TrainingRun.objects.create(
        round=round, position=1, method="ppo", status=RunStatus.RUNNING, attempt=1, started_at=now,
        progress_done=3, progress_total=10, progress_unit="updates",
    )  # fmt: skip
    for step in range(1, 4):
        Metric.objects.create(run=reward, step=step, name="reward/loss", value=1 / step)
        Metric.objects.create(run=ppo, step=step, name="objective/kl", value=step)
        Metric.objects.create(run=ppo, step=step, name="ppo/clipfrac", value=step / 10)
    return round


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_is_quiet(
    visit, admin, project, ranked_task, open_ranking_task, round_with_curves, size, scheme
):
    open_ranking_task(["`code` " * 80, "x" * 400, "| a | b |\n|---|---|\n| 1 | 2 |"])
    snapshots.take_snapshot(project=project, by=admin)
    upload = PromptUpload.objects.create(
        project=project, uploaded_by=admin, filename="new.jsonl", content=b'{"text": "Hello?"}\n{"text": ""}\nbroken\n'
    )
    width, height = SIZES[size]
    visitor = visit(admin, viewport={"width": width, "height": height}, color_scheme=scheme)
    inside = "/projects/letters/"
    for path in (
        "/", "/projects/new/", "/accounts/password_change/", inside, *(
            inside + name for name in (
                "annotate/", "settings/", "members/", "prompts/", f"prompts/uploads/{upload.pk}/", "snapshots/",
                "rounds/", "rounds/1/",
            )
        ),
    ):  # fmt: skip
        visitor.goto(path)
        expect(visitor.page.locator("h1")).to_be_visible()
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width, path
    visitor.goto(inside)
    visitor.page.get_by_role("button", name="Annotate").click()
    visitor.page.wait_for_selector("#task[data-ready]")
    visitor.page.keyboard.press("1")
    visitor.page.keyboard.press("2")
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_running_round_shows_its_stages_and_draws_its_curves(visit, admin, round_with_curves):
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/rounds/1/")
    expect(page.locator(".run.succeeded")).to_contain_text("81.2%")
    expect(page.locator(".run.succeeded")).to_contain_text("74.2 to 87.1%")
    expect(page.locator(".run.running")).to_contain_text("3 of 10 updates")
    expect(page.get_by_role("img", name="Loss over 3 points up to step 3. Last: 0.333")).to_be_visible()
    expect(page.get_by_role("img", name="KL to the reference")).to_be_visible()
    page.locator("summary:visible", has_text="More curves").click()
    expect(page.locator("figure", has_text="ppo/clipfrac").locator("canvas")).to_be_visible()
    run = round_with_curves.runs.get(method="ppo")
    Metric.objects.create(run=run, step=4, name="objective/kl", value=7.25)
    TrainingRun.objects.filter(pk=run.pk).update(progress_done=4)
    expect(page.locator(".run.running")).to_contain_text("4 of 10 updates")
    expect(page.locator("figure", has_text="KL to the reference").locator(".readout")).to_have_text("7.25")


def test_cancelling_a_round_asks_first(visit, admin, round_with_curves):
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/rounds/1/")
    page.get_by_text("Cancel round").click()
    page.get_by_role("button", name="Yes, cancel it").click()
    expect(page.get_by_text("Round 1 is cancelled.")).to_be_visible()
    round_with_curves.refresh_from_db()
    assert round_with_curves.status == RunStatus.CANCELLED


def test_uploading_prompts_shows_what_would_be_taken(visit, admin, project, tmp_path):
    file = tmp_path / "prompts.csv"
    file.write_text("text,category\nWhy is the sky blue?,nature\n,nature\nWhy is the sky blue?,nature\n")
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/prompts/")
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("the same prompt as line 2")).to_be_visible()
    expect(page.get_by_text('"text" is empty')).to_be_visible()
    assert project.prompts.count() == 0
    page.get_by_role("button", name="Take 1 prompt").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 prompt taken")
    assert [prompt.last_message for prompt in project.prompts.all()] == ["Why is the sky blue?"]


def test_the_project_page_leads_an_admin_from_stage_to_stage(visit, admin, project, make_prompt, policy):
    visitor = visit(admin)
    visitor.goto("/projects/letters/")
    expect(visitor.page.get_by_role("heading", name="Next: prompts")).to_be_visible()
    make_prompt()
    visitor.page.get_by_role("link", name="Look again").click()
    expect(visitor.page.get_by_role("heading", name="Next: answers to rank")).to_be_visible()
