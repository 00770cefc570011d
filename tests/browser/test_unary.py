"""Good or bad by keyboard alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from annotation.actions import tasks
from annotation.models import Completion, Source, UnaryJudgment
from tests.browser.steps import get_task, ready

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def five_responses(project, policy, make_prompt) -> None:
    project.unary_share, project.reference_share = 1, 0
    project.save()
    for number in range(5):
        Completion.objects.create(
            prompt=make_prompt(f"Question {number}?"),
            source=Source.POLICY,
            policy=policy,
            origin="run-1",
            text=f"Answer {number}.",
        )
    tasks.open_tasks_for(policy=policy, origin="run-1")


def test_five_responses_by_keyboard(visit, annotator, five_responses):
    visitor = visit(annotator)
    page = visitor.page
    visitor.goto("/projects/letters/")
    page.get_by_role("button", name="Annotate").press("Enter")
    for number, keys in enumerate(["gg", "b\n", "55", "1u2\n", "b4b"]):
        expect(page.locator(".task-name")).to_contain_text(re.compile(rf"\b{number} tasks?\b"))
        page.wait_for_selector("#task[data-ready]")
        expect(page.locator("#submit")).to_be_disabled()
        expect(page.locator("input[value=wrong]")).to_be_hidden()
        for key in keys:
            page.keyboard.press("Enter" if key == "\n" else key)
    expect(page.get_by_role("heading", name="All tasks completed")).to_be_visible()
    said = UnaryJudgment.objects.order_by("pk").values_list("good", "reason")
    assert list(said) == [(True, ""), (False, ""), (False, "instruction"), (False, ""), (False, "incomplete")]
    page.get_by_role("button", name="Undo last submission").click()
    page.wait_for_selector("#task[data-ready]")
    expect(page.locator("input[name=good][value=false]")).to_be_checked()
    expect(page.locator("input[value=incomplete]")).to_be_checked()
    page.locator("input[name=good][value=true]").check(force=True)
    expect(page.locator("input[value=incomplete]")).not_to_be_checked()
    page.locator("#comment").fill("good enough")  # letters that are typed judge nothing
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="All tasks completed")).to_be_visible()
    last = UnaryJudgment.objects.latest("pk")
    assert (last.good, last.reason, last.comment) == (True, "", "good enough")


def test_a_reason_that_is_clicked_says_that_the_response_is_bad(visit, annotator, five_responses):
    """A draft may hold Good with a reason beside it, as a page without scripts sends them: the reasons are shown."""
    visitor = visit(annotator)
    seat = get_task(visitor)
    seat.draft = {"good": "true", "reason": "wrong", "comment": ""}
    seat.save()
    page = visitor.page
    page.reload()
    ready(page)
    expect(page.locator("input[name=good][value=true]")).to_be_checked()
    page.locator(".bad-reasons label", has=page.locator("input[value=incomplete]")).click()
    expect(page.locator("input[name=good][value=false]")).to_be_checked()
    expect(page.locator("input[value=incomplete]")).to_be_checked()
