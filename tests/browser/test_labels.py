"""Labelling by keyboard alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from annotation.actions import labels
from annotation.models import Label

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def ten_texts(project, make_prompt) -> None:
    project.labels = ["positive", "negative", "neither"]
    project.save()
    for number in range(10):
        make_prompt(f"Text number {number}.")
    labels.open_label_tasks(project=project)


def test_ten_texts_by_keyboard(visit, annotator, ten_texts):
    visitor = visit(annotator)
    page = visitor.page
    visitor.goto("/projects/letters/")
    page.get_by_role("button", name="Annotate").press("Enter")
    for number in range(10):
        expect(page.locator(".task-name")).to_contain_text(re.compile(rf"\b{number} tasks?\b"))
        page.wait_for_selector("#task[data-ready]")
        page.keyboard.press(str(1 + number % 3))
        page.keyboard.press("Enter" if number % 2 else str(1 + number % 3))
    expect(page.get_by_role("heading", name="All tasks completed")).to_be_visible()
    given = Label.objects.order_by("pk").values_list("label", flat=True)
    assert list(given[:4]) == ["positive", "negative", "neither", "positive"]
    assert len(given) == 10


def test_u_clears_the_choice_and_never_reopens_the_last_label(visit, annotator, ten_texts):
    visitor = visit(annotator)
    page = visitor.page
    visitor.goto("/projects/letters/")
    page.get_by_role("button", name="Annotate").click()
    page.wait_for_selector("#task[data-ready]")
    first = page.locator("#prompt").inner_text()
    page.keyboard.press("2")
    expect(page.get_by_label("negative")).to_be_checked()
    page.keyboard.press("u")
    expect(page.get_by_label("negative")).not_to_be_checked()
    expect(page.locator("#submit")).to_be_disabled()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator(".task-name")).to_contain_text("1 task completed")
    page.wait_for_selector("#task[data-ready]")
    page.keyboard.press("u")
    expect(page.locator("#announcer")).to_have_text("Nothing to undo in this task.")
    assert Label.objects.count() == 1
    page.get_by_role("button", name="Undo last submission").click()
    expect(page.locator("#prompt")).to_have_text(first, use_inner_text=True)
    expect(page.get_by_label("positive")).to_be_checked()
