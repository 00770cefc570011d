"""Practice in a real browser: rank by keyboard, see the feedback at once, pass, get into the queue."""

from __future__ import annotations

import uuid

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from annotation.actions import judgments, quality, queue
from annotation.models import Membership, Role

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def lesson(project, admin, open_ranking_task):
    """One practice task: the kind answer is better; and work behind it."""
    judge = User.objects.create_user("judge")
    Membership.objects.create(project=project, user=judge, role=Role.ANNOTATOR)
    task = open_ranking_task(["Kind words.", "Rude words."])
    seat = queue.claim_next(project=project, by=judge)
    tiers = [[pk] for pk in task.candidates.order_by("text").values_list("pk", flat=True)]
    answer = {"tiers": tiers, "unacceptable": [], "rationale": ""}
    judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=5)
    quality.adjudicate(task=task, tiers=tiers, unacceptable=[], note="", by=admin)
    quality.mark_gold(task=task, by=admin, note="Kindness comes first.", practice=True)
    project.practice_first, project.practice_pass = True, 1.0
    project.save()
    open_ranking_task(["Real one", "Real two"])


def rank_first(page, text):
    card = page.locator("#waiting .answer", has_text=text)
    expect(page.locator("#task[data-ready]")).to_be_visible()
    page.keyboard.press(card.get_attribute("data-number"))
    page.keyboard.press("Control+Enter")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_practise_fail_practise_pass_and_work(visit, annotator, project, lesson, scheme):
    bob = visit(annotator, color_scheme=scheme)
    page = bob.page
    bob.goto("/projects/letters/annotate/")
    page.get_by_role("button", name="Start annotating").click()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("Practice task with an expert ranking.")).to_be_visible()
    rank_first(page, "Rude words.")
    expect(page.get_by_text("Not passed yet")).to_be_visible()
    expect(page.get_by_text("you ranked them the other way round")).to_be_visible()
    expect(page.get_by_text("Kindness comes first.")).to_be_visible()
    page.get_by_role("button", name="Practise again").click()
    rank_first(page, "Kind words.")
    expect(page.get_by_text("Your ranking matches.")).to_be_visible()
    page.get_by_role("main").get_by_role("button", name="Annotate").click()
    expect(page.locator("#waiting .answer", has_text="Real one")).to_be_visible()
