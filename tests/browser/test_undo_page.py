"""Taking the last judgment back, and telling reviewers that a text is wrong, without leaving the work."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from annotation.models import Assignment, Flag, Ranking, SeatStatus
from tests.browser.steps import get_task, next_task, press, ready, saved, submit

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_last_annotation_comes_back_as_it_was_and_is_submitted_again(visit, annotator, open_ranking_task):
    open_ranking_task(priority=1)
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    first = get_task(visitor)
    a, b, c, d = first.shown_order
    press(page, "1 2 3")  # the fourth takes its place by itself
    press(page, "Control+Enter")
    next_task(page, first)
    ready(page)
    assert Ranking.objects.get().tiers == [[a], [b], [c], [d]]
    press(page, "u")  # a key of this task, in which nothing is placed yet
    expect(page.locator("#announcer")).to_have_text("Nothing to undo in this task.")
    assert Ranking.objects.count() == 1
    page.get_by_role("button", name="Undo last submission").click()
    expect(page).to_have_url(f"{visitor.base}{first.get_absolute_url()}")
    ready(page)
    assert Ranking.objects.count() == 0
    expect(page.locator("#placed .answer").first).to_have_attribute("data-number", "1")
    expect(page.locator("#placed .answer")).to_have_count(4)
    page.get_by_role("button", name="Move response 2 up").click()
    saved(page)
    submit(page, first)
    assert Ranking.objects.get().tiers == [[b], [a], [c], [d]]
    assert Assignment.objects.filter(status=SeatStatus.HELD).count() == 1


def test_an_undone_submission_is_restored_by_redo_and_the_next_task_follows(visit, annotator, open_ranking_task):
    open_ranking_task(priority=1)
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    first = get_task(visitor)
    press(page, "2 1 3 Control+Enter")
    next_task(page, first)
    ready(page)
    expect(page.locator("#lease")).to_have_text(re.compile(r"^Reserved for \d+ min$"))
    said = Ranking.objects.get().tiers
    press(page, "3")
    saved(page)
    second_url = page.url
    page.get_by_role("button", name="Undo last submission").click()
    expect(page).to_have_url(f"{visitor.base}{first.get_absolute_url()}")
    ready(page)
    page.get_by_role("button", name="Redo submission").click()
    expect(page).to_have_url(second_url)
    ready(page)
    assert Ranking.objects.get().tiers == said
    expect(page.locator("#placed .answer")).to_have_count(1)


def test_undo_of_a_step_goes_on_after_a_reload(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    get_task(visitor)
    press(page, "1 2")
    saved(page)
    page.reload()
    ready(page)
    expect(page.locator("#placed .answer")).to_have_count(2)
    press(page, "u")
    expect(page.locator("#placed .answer")).to_have_count(1)
    press(page, "u")
    expect(page.locator("#placed .answer")).to_have_count(0)


def test_flagging_an_answer_leaves_the_work_where_it_is(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    press(page, "2")
    page.get_by_text("Report", exact=True).click()
    page.get_by_label("Text to report").select_option(label="Response 3")
    page.get_by_label("Reason", exact=True).select_option("broken")
    page.get_by_label("Note").fill("It ends in the middle of a word.")
    page.get_by_role("button", name="Send report").click()
    expect(page.locator("#flagged")).not_to_be_empty()
    flag = Flag.objects.get()
    assert (flag.completion_id, flag.reason, flag.raised_by) == (seat.shown_order[2], "broken", annotator)
    expect(page.locator("#placed .answer")).to_have_count(1)
