"""Every way of asking, in the browser: by keys, by finger, with drafts; what matters is the rows that come of it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from annotation.models import FirstVersion, Project, Ranking, ReferenceAnswer
from tests.browser.steps import PHONE, drag, get_task, next_task, press, ready, saved, submit

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def ask(project):
    return lambda **settings: Project.objects.filter(pk=project.pk).update(**settings)


def test_the_best_of_all_by_one_key(visit, annotator, open_ranking_task, ask):
    ask(ranking_form="best")
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    a, b, c, d = seat.shown_order
    press(page, "Control+Enter")
    expect(page.locator("#announcer")).to_have_text("Choose the best response")
    press(page, "2 4 u 3")  # changed one's mind twice
    expect(page.locator("#placed .answer")).to_have_count(1)
    press(page, "Control+Enter")
    next_task(page, seat)
    ranking = Ranking.objects.get()
    assert ranking.tiers == [[c], sorted([a, b, d])]
    assert ranking.unranked == sorted([a, b, d])


def test_the_top_two_by_keys_with_a_line_below_them(visit, annotator, open_ranking_task, ask):
    ask(ranking_form="top_k", top_k=2)
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    a, b, c, d = seat.shown_order
    press(page, "4")
    expect(page.locator("#submit-hint")).to_have_text("1 more to rank")
    press(page, "2 1")
    expect(page.locator("#announcer")).to_have_text("All ranks are assigned. Unrank a response first.")
    press(page, "x")
    saved(page)
    page.reload()
    ready(page)
    submit(page, seat)
    ranking = Ranking.objects.get()
    assert ranking.tiers == [[d], [b], sorted([a, c])]
    assert ranking.unranked == ranking.unacceptable == sorted([a, c])


def test_dragging_above_the_top_two_pushes_the_last_one_out(visit, annotator, open_ranking_task, ask):
    ask(ranking_form="top_k", top_k=2)
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    a, b, c, d = seat.shown_order
    press(page, "1 2")
    drag(page, 3, "#placed .gap:first-child")
    expect(page.locator("#tiers")).to_have_value("[[3],[1]]")
    submit(page, seat)
    assert Ranking.objects.get().unranked == sorted([b, d])


@pytest.mark.parametrize(
    ("key", "tiers", "strength"),
    [("1", "a>b", 2), ("2", "a>b", 1), ("3", "a=b", 0), ("4", "b>a", 1), ("5", "b>a", 2)],
)
def test_a_graded_comparison_takes_one_key(visit, annotator, open_ranking_task, ask, key, tiers, strength):
    ask(ranking_form="graded", candidates_per_task=2)
    open_ranking_task(["Yes.", "No."])
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    a, b = seat.shown_order
    expect(page.get_by_role("button", name="Submit")).to_be_disabled()
    press(page, key)
    press(page, "Control+Enter")
    next_task(page, seat)
    ranking = Ranking.objects.get()
    assert ranking.tiers == {"a>b": [[a], [b]], "a=b": [[a, b]], "b>a": [[b], [a]]}[tiers]
    assert ranking.strength == strength


def test_a_graded_comparison_by_touch_and_its_draft(visit, annotator, open_ranking_task, ask):
    ask(ranking_form="graded", candidates_per_task=2)
    open_ranking_task(["Yes.", "No."])
    visitor = visit(annotator, **PHONE)
    page = visitor.page
    seat = get_task(visitor)
    a, b = seat.shown_order
    page.get_by_role("radio", name="A is much better").tap()
    page.get_by_role("radio", name="B is better").tap()
    saved(page)
    page.reload()
    ready(page)
    expect(page.get_by_role("radio", name="B is better")).to_be_checked()
    page.get_by_role("button", name="Submit").tap()
    next_task(page, seat)
    assert (Ranking.objects.get().tiers, Ranking.objects.get().strength) == ([[b], [a]], 1)


def test_rating_by_keyboard_with_a_reason_that_is_required(visit, annotator, open_ranking_task, ask):
    ask(criteria=["helpful", "harmless"], criteria_required=True, rationale="required")
    open_ranking_task(["Yes.", "No."])
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    a, b = seat.shown_order
    press(page, "2")
    expect(page.locator("#submit-hint")).to_have_text("Ratings still missing: 4")
    page.get_by_role("radio", name="helpful: 1 of 5").nth(0).focus()
    press(page, "5 4")  # the second criterion takes the focus by itself
    page.get_by_role("radio", name="helpful: 1 of 5").nth(1).focus()
    press(page, "1 2")
    expect(page.locator("#submit-hint")).to_have_text("Rationale required")
    page.get_by_label("Rationale").fill("Kinder.")
    saved(page)
    page.reload()
    ready(page)
    press(page, "Control+Enter")
    next_task(page, seat)
    ranking = Ranking.objects.get()
    # The first in the page is the one that was placed last: nothing is placed above what waits.
    assert ranking.tiers == [[b], [a]]
    assert ranking.ratings == {str(b): {"helpful": 5, "harmless": 4}, str(a): {"helpful": 1, "harmless": 2}}
    assert ranking.rationale == "Kinder."


def test_whoever_writes_first_sees_the_answers_afterwards(visit, annotator, open_ranking_task, ask):
    ask(write_first=True)
    open_ranking_task(["A model wrote this.", "And this."], kind="reference")
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    reveal = page.get_by_role("button", name="Save draft and reveal responses")
    expect(reveal).to_be_disabled()
    expect(page.get_by_text("A model wrote this.")).to_have_count(0)
    page.get_by_label("Your response").fill("Mine.")
    reveal.click()
    expect(page.get_by_text("A model wrote this.").first).to_be_visible()
    ready(page)
    expect(page.get_by_label("Your response")).to_have_value("Mine.")
    page.get_by_label("Your response").press("Control+End")
    page.get_by_label("Your response").press_sequentially(" Better now.")
    submit(page, seat)
    assert FirstVersion.objects.get().text == "Mine."
    assert ReferenceAnswer.objects.get().completion.text == "Mine. Better now."


def test_the_preview_follows_what_is_written(visit, annotator, open_ranking_task):
    open_ranking_task(["A", "B"], kind="reference")
    visitor = visit(annotator)
    page = visitor.page
    get_task(visitor)
    page.get_by_label("Your response").fill("This is **bold** and <b>this</b> is not.")
    page.get_by_text("Preview", exact=True).click()
    expect(page.locator("#preview strong")).to_have_text("bold")
    expect(page.locator("#preview")).to_contain_text("<b>this</b>")
    page.get_by_label("Your response").press_sequentially("\n\n- one\n- two")
    expect(page.locator("#preview li")).to_have_count(2)


def test_an_earlier_version_can_be_brought_back(visit, annotator, open_ranking_task):
    open_ranking_task(["A", "B"], kind="reference")
    visitor = visit(annotator)
    page = visitor.page
    get_task(visitor)
    text = page.get_by_label("Your response")
    first = "A long and careful answer, " * 6
    text.fill(first)
    text.fill("Gone in one stroke.")
    saved(page)
    page.reload()
    ready(page)
    page.get_by_text("Earlier versions").click()
    row = page.locator(".versions li").filter(has_text="A long and careful answer")
    row.get_by_role("button", name="Restore", exact=True).click()
    expect(text).to_have_value(first)
    expect(page.locator(".versions li").filter(has_text="Gone in one stroke.")).to_have_count(1)
