"""Every page on a desk and on a phone: nothing sticks out at the side, nothing complains in the console."""

from __future__ import annotations

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from annotation.actions import snapshots
from annotation.delivery import webhooks
from annotation.models import Event, PromptUpload
from tests.browser.test_accessibility import problems
from training.models import Metric, RoundStatus, RunStatus, TrainingRound, TrainingRun

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SIZES = {"desk": (1280, 800), "phone": (360, 740)}


@pytest.fixture
def round_with_curves(project) -> TrainingRound:
    now = timezone.now()
    round = TrainingRound.objects.create(project=project, number=1, status=RunStatus.RUNNING)
    reward = TrainingRun.objects.create(
        round=round,
        position=0,
        method="reward",
        status=RunStatus.SUCCEEDED,
        attempt=1,
        started_at=now,
        finished_at=now,
        result={
            "accuracy": 0.8125,
            "ci95": [0.742, 0.871],
            "n": 192,
            "length_baseline": 0.5573,
            "learning_curve": [
                {"rankings": 50, "accuracy": 0.64, "ci95": [0.55, 0.72]},
                {"rankings": 100, "accuracy": 0.8125, "ci95": [0.742, 0.871]},
            ],
            "calibration": {"ece": 0.04, "bins": [{"confidence": 0.9, "accuracy": 0.875, "n": 96}]},
            "slices": {"policy": [{"label": "v0", "accuracy": 0.8, "ci95": [0.7, 0.9], "n": 192}]},
            "gate": {"passed": True, "reason": "accuracy 0.81 [0.74, 0.87] on 192 unseen pairs"},
        },
    )
    ppo = TrainingRun.objects.create(
        round=round,
        position=1,
        method="ppo",
        status=RunStatus.RUNNING,
        attempt=1,
        started_at=now,
        progress_done=3,
        progress_total=10,
        progress_unit="updates",
    )
    for step in range(1, 4):
        Metric.objects.create(run=reward, step=step, name="reward/loss", value=1 / step)
        Metric.objects.create(run=ppo, step=step, name="objective/kl", value=step)
        Metric.objects.create(run=ppo, step=step, name="ppo/grad_norm", value=step / 10)
    return round


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_is_quiet(
    visit, admin, project, ranked_task, open_ranking_task, round_with_curves, size, scheme, settings
):
    settings.PROJECT_CREATORS = "all"
    open_ranking_task(["`code` " * 80, "x" * 400, "| a | b |\n|---|---|\n| 1 | 2 |"])
    snapshots.take_snapshot(project=project, by=admin)
    upload = PromptUpload.objects.create(
        project=project, uploaded_by=admin, filename="new.jsonl", content=b'{"text": "Hello?"}\n{"text": ""}\nbroken\n'
    )
    url = f"https://hooks.example.org/{'long' * 20}"
    hook = webhooks.add_webhook(project=project, url=url, events=[Event.ROUND, Event.SNAPSHOT], by=admin)
    webhooks.send_test(webhook=hook, by=admin)
    width, height = SIZES[size]
    visitor = visit(admin, viewport={"width": width, "height": height}, color_scheme=scheme)
    inside = "/projects/letters/"
    for path in (
        "/",
        "/projects/new/",
        "/accounts/password_change/",
        "/accounts/tokens/",
        inside,
        *(
            inside + name
            for name in (
                "annotate/",
                "settings/",
                "members/",
                "members/invitations/",
                "model/",
                "audit/",
                "feedback/",
                "prompts/",
                f"prompts/uploads/{upload.pk}/",
                "snapshots/",
                "snapshots/1/",
                "snapshots/1/changes/1/",
                "rounds/",
                "rounds/new/",
                "rounds/compare/?round=1",
                *(f"rounds/1/{tab}" for tab in ("", "curves/", "samples/", "slices/", "log/")),
                "webhooks/",
                f"webhooks/{hook.pk}/",
            )
        ),
    ):
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
    expect(page.locator(".stage.running")).to_contain_text("3 of 10 updates")
    expect(page.get_by_role("img", name="KL to the reference")).to_be_visible()  # of the stage that runs
    page.get_by_role("link", name="Curves").click()
    expect(page.get_by_role("link", name="Curves")).to_have_attribute("aria-current", "page")
    expect(page.get_by_role("img", name="Loss over 3 points up to step 3. Last: 0.333")).to_be_visible()
    expect(page.get_by_role("img", name="KL to the reference")).to_be_visible()
    page.locator("summary:visible", has_text="More curves").click()
    expect(page.locator("figure", has_text="ppo/grad_norm").locator("canvas")).to_be_visible()
    run = round_with_curves.runs.get(method="ppo")
    Metric.objects.create(run=run, step=4, name="objective/kl", value=7.25)
    TrainingRun.objects.filter(pk=run.pk).update(progress_done=4)
    expect(page.locator(".stage.running")).to_contain_text("4 of 10 updates")
    expect(page.locator("figure", has_text="KL to the reference").locator(".readout")).to_have_text("step 47.25")


def test_findings_are_drawn_and_stand_in_tables(visit, admin, round_with_curves):
    TrainingRun.objects.filter(method="ppo").update(
        status=RunStatus.SUCCEEDED,
        finished_at=timezone.now(),
        result={
            "frontier": [
                {"step": 0, "kl": -0.001, "score": 0.0, "judge": 0.0},
                {"step": 5, "kl": 4.0, "score": 1.5, "judge": 0.9},
            ],
            "best_of_n": [{"n": 4, "score": 1.03, "kl": 0.64}],
            "selected": {"step": 5, "reason": "best by the judge"},
        },
    )
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/rounds/1/curves/")
    expect(page.get_by_role("img", name="Learning curve: 2 points. 81.3% with 100")).to_be_visible()
    reliability = "Reliability: 1 points. confidence 90.0%, accuracy 87.5% (96 pairs)"
    expect(page.get_by_role("img", name=reliability)).to_be_visible()
    drawn = page.get_by_role(
        "img", name="Frontier: 5 points. step 5: score 1.5 at √KL 2. The ring marks the best checkpoint"
    )
    expect(drawn.locator("canvas")).to_be_visible()
    frontier = page.locator("figure", has_text="Frontier")
    expect(frontier.locator(".key")).to_contain_text("score")
    frontier.get_by_text("As a table").click()
    rows = frontier.locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_have_text("step 5 (kept)421.50.9")
    expect(rows.nth(2)).to_have_text("best of 40.640.81.03–")


def test_an_admin_goes_on_past_a_gate(visit, admin, round_with_curves):
    round_with_curves.runs.filter(method="ppo").update(status=RunStatus.QUEUED)
    TrainingRound.objects.update(status=RoundStatus.STOPPED, reason="Reward model: it does not beat going by length")
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/rounds/1/")
    expect(page.get_by_role("heading", name="Round 1 Stopped at a gate")).to_be_visible()
    page.get_by_role("button", name="Continue anyway").click()
    expect(page.get_by_text("Round 1 continues past its quality gate.")).to_be_visible()
    expect(page.locator(".run.succeeded")).to_contain_text("Overridden by alice")


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
    page.get_by_label("Files", exact=True).set_input_files(file)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("the same prompt as line 2")).to_be_visible()
    expect(page.get_by_text('"text" is empty')).to_be_visible()
    assert project.prompts.count() == 0
    page.get_by_role("button", name="Import 1 prompt").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 prompt imported")
    assert [prompt.last_message for prompt in project.prompts.all()] == ["Why is the sky blue?"]


def test_the_project_page_leads_an_admin_from_stage_to_stage(visit, admin, project, make_prompt, policy):
    visitor = visit(admin)
    visitor.goto("/projects/letters/")
    expect(visitor.page.locator(".step.is-next h3")).to_contain_text("Import prompts")
    make_prompt()
    visitor.page.get_by_role("link", name="Refresh").click()
    expect(visitor.page.locator(".step.is-next h3")).to_contain_text("Invite people")


def test_any_page_is_reached_by_a_part_of_its_name_and_question_mark_lists_the_keys(visit, admin, project):
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/members/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("go to a page or project")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    box = page.get_by_role("combobox", name="Page or project")
    box.fill("snap")
    expect(page.locator(".palette [role=option]")).to_have_text(["Snapshots Letters · Data"])
    assert problems(page) == []
    box.press("Enter")
    page.wait_for_url("**/projects/letters/snapshots/")
    page.get_by_role("button", name="Go to").click()
    box.fill("xyzzy")
    expect(page.get_by_text("No page matches.")).to_be_visible()
    box.fill("project letters")
    expect(page.locator(".palette [role=option]")).to_have_count(2)  # its settings, and the project itself
    box.press("ArrowUp")
    box.press("Enter")
    page.wait_for_url("**/projects/letters/")
