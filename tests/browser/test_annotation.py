"""The annotation page as people use it; what matters is the rows that come of it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from annotation.models import Assignment, Ranking, ReferenceAnswer, SeatStatus
from tests.browser.steps import PHONE, drag, get_task, next_task, press, ready, submit
from tests.conftest import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def two_tasks(open_ranking_task):
    return open_ranking_task(priority=2), open_ranking_task(["One.", "Two.", "Three."], priority=1)


# --- ranking -------------------------------------------------------------------------------------------------------


def test_signing_in_and_ranking_by_keyboard_alone(visit, annotator, two_tasks):
    visitor = visit()
    page = visitor.page
    visitor.goto("/projects/letters/")
    page.get_by_label("Username").fill("bob")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Annotate").focus()
    page.keyboard.press("Enter")
    ready(page)
    seat = Assignment.objects.get(status=SeatStatus.HELD)
    shown = seat.shown_order
    assert [card.get_attribute("data-id") for card in page.locator(".answer").all()] == ["1", "2", "3", "4"]
    a, b, c, d = shown

    page.evaluate("window.sameWindow = true")
    press(page, "3 1 4")
    expect(page.locator("#announcer")).to_contain_text("Response 4: 3rd. Response 2: 4th. All responses ranked.")
    press(page, "Control+Enter")

    next_task(page, seat)
    ready(page)
    assert page.evaluate("window.sameWindow")
    assert page.evaluate("document.activeElement.id") == "task-title"
    expect(page.locator(".answer")).to_have_count(3)
    ranking = Ranking.objects.get()
    assert ranking.tiers == [[c], [a], [d], [b]]
    assert ranking.unacceptable == []
    seat.refresh_from_db()
    assert seat.status == SeatStatus.DONE
    assert seat.shown_order == shown
    assert 0 < seat.active_ms < 60_000


def test_ties_and_the_line_by_keyboard(visit, annotator, open_ranking_task):
    open_ranking_task(["A", "B", "C", "D", "E"])
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    a, b, c, d, e = seat.shown_order
    press(page, "2 = 4 Shift+1 x 5")
    expect(page.locator("#announcer")).to_contain_text("Response 5: 2nd, unacceptable.")
    expect(page.locator(".tier.below")).to_have_count(2)
    submit(page, seat)
    ranking = Ranking.objects.get()
    assert ranking.tiers == [[b, d, a], [e], [c]]
    assert ranking.unacceptable == sorted([c, e])


def test_the_line_moves_up_once_everything_has_its_place(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    press(page, "1 2 3 x")
    expect(page.locator(".tier.below .answer")).to_have_attribute("data-number", "4")
    press(page, "x x x")
    expect(page.locator(".tier.below")).to_have_count(4)
    press(page, "x")
    expect(page.locator(".line")).to_have_count(0)
    press(page, "u")
    expect(page.locator(".tier.below")).to_have_count(4)
    submit(page, seat)
    assert Ranking.objects.get().unacceptable == sorted(seat.shown_order)


def test_arrow_keys_and_undo_change_the_order(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    a, b, c, d = seat.shown_order
    press(page, "1 2 3 4 3")  # the last 3 goes to it
    press(page, "ArrowUp ArrowUp u")
    press(page, "4 Shift+ArrowUp")
    submit(page, seat)
    assert Ranking.objects.get().tiers == [[a], [c], [b, d]]


def test_dragging_with_the_mouse_with_a_tie(visit, annotator, open_ranking_task):
    open_ranking_task(["Long. " * 200, "Short.", "**Bold**\n\n- list\n- list", "Last."])
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    a, b, c, d = seat.shown_order
    drag(page, 2, "#placed .gap")
    drag(page, 3, "#placed .gap:last-child")
    drag(page, 1, "#placed .tier:has(.answer[data-number='2']) .tier-answers")
    expect(page.locator("#tiers")).to_have_value("[[2,1],[3],[4]]")
    drag(page, 4, "#placed .gap:first-child")
    submit(page, seat)
    assert Ranking.objects.get().tiers == [[d], [b, a], [c]]


def test_everything_by_buttons(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    a, b, c, d = seat.shown_order

    def button(number: int, name: str):
        return page.locator(f'.answer[data-number="{number}"]').get_by_role("button", name=name)

    button(4, "Rank 1st").click()
    button(3, "Rank 2nd").click()
    button(1, "tie with the lowest rank").click()
    expect(page.locator("#waiting .answer")).to_have_count(0)
    button(2, "Move response 2 up").click()
    button(3, "Unrank response 3").click()
    expect(page.get_by_role("button", name="Submit")).to_be_disabled()
    expect(page.locator("#submit-hint")).to_have_text("1 response not ranked yet")
    button(3, "Rank 4th").click()
    page.get_by_role("button", name="Add “unacceptable” cutoff").click()
    page.get_by_role("button", name="Move the cutoff up").click()
    submit(page, seat)
    ranking = Ranking.objects.get()
    assert ranking.tiers == [[d], [b], [a], [c]]
    assert ranking.unacceptable == sorted([a, c])


def test_placing_by_touch_on_a_phone(visit, annotator, open_ranking_task):
    open_ranking_task(["Long. " * 150, "Short.", "Third."])
    visitor = visit(annotator, **PHONE)
    page = visitor.page
    seat = get_task(visitor)
    a, b, c = seat.shown_order
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator('.answer[data-number="2"] [data-do=place]').tap()
    page.locator('.answer[data-number="3"] .when-waiting [data-do=tie]').tap()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Submit").tap()
    next_task(page, seat)
    assert Ranking.objects.get().tiers == [[b, c], [a]]


def test_dragging_by_finger(visit, annotator, open_ranking_task):
    open_ranking_task(["One.", "Two.", "Three."])
    visitor = visit(annotator, **PHONE)
    page = visitor.page
    seat = get_task(visitor)
    a, b, c = seat.shown_order
    page.locator('.answer[data-number="1"] [data-do=place]').tap()
    finger = visitor.context.new_cdp_session(page)

    def touch(kind: str, x: float = 0, y: float = 0) -> None:
        points = [] if kind == "touchEnd" else [{"x": x, "y": y}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    handle = page.locator('.answer[data-number="3"] .grip')
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + 12, box["y"] + 12
    touch("touchStart", x, y)
    for step in range(1, 6):
        touch("touchMove", x + step, y + 4 * step)
    for _ in range(3):
        box = page.locator("#placed .gap:first-child").bounding_box()
        for step in range(1, 6):
            touch("touchMove", x + 20, y + (box["y"] + box["height"] / 2 - y) * step / 5)
        page.wait_for_timeout(150)
    touch("touchEnd")
    expect(page.locator("#tiers")).to_have_value("[[3],[1],[2]]")
    submit(page, seat)
    assert Ranking.objects.get().tiers == [[c], [a], [b]]


def test_an_untouched_order_is_no_answer(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    seat = get_task(visitor)
    expect(visitor.page.get_by_role("button", name="Submit")).to_be_disabled()
    press(visitor.page, "Control+Enter")
    expect(visitor.page.locator("#announcer")).to_have_text("Rank all responses")
    seat.refresh_from_db()
    assert seat.status == SeatStatus.HELD


def test_keys_do_nothing_while_somebody_types(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    page.locator("#rationale").press_sequentially("1 = 2, x u ?")
    expect(page.locator("#placed .answer")).to_have_count(0)
    page.locator("h1").click()
    press(page, "1 2 3")
    page.locator("#rationale").focus()
    press(page, "Control+Enter")
    next_task(page, seat)
    assert Ranking.objects.get().rationale == "1 = 2, x u ?"


def test_single_keys_can_be_turned_off(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    get_task(visitor)
    press(page, "?")
    page.get_by_label("Enable single-key shortcuts").uncheck()
    page.get_by_role("button", name="Close").click()
    press(page, "1 2")
    expect(page.locator("#placed .answer")).to_have_count(0)


# --- writing -------------------------------------------------------------------------------------------------------


def test_writing_a_reference_answer_from_a_candidate(visit, annotator, open_ranking_task):
    open_ranking_task(["A first answer.\n\nWith **two** paragraphs.", "Another."], kind="reference")
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    first = seat.task.candidates.get(text__startswith="A first")
    page.get_by_label("Your response").fill("My own words.")
    page.locator(f'.answer[data-id="{seat.number_of(first.pk)}"]').get_by_role("button").click()
    expect(page.locator("#submit-hint")).to_have_text("Edit the response before submitting")
    page.get_by_role("button", name="Restore my earlier text").click()
    expect(page.get_by_label("Your response")).to_have_value("My own words.")
    page.get_by_role("button", name="Restore my earlier text").click()
    page.keyboard.type(" Better.")
    press(page, "Control+Enter")
    next_task(page, seat)
    reference = ReferenceAnswer.objects.get()
    assert reference.completion.text == "A first answer.\n\nWith **two** paragraphs. Better."
    assert reference.derived_from == first
    assert reference.completion.author == annotator


def test_writing_a_reference_answer_from_nothing(visit, annotator, open_ranking_task):
    open_ranking_task(["A", "B"], kind="reference")
    visitor = visit(annotator)
    seat = get_task(visitor)
    visitor.page.get_by_label("Your response").fill("1 = 2, said nobody.")
    submit(visitor.page, seat)
    assert ReferenceAnswer.objects.get().derived_from is None


# --- around the work -----------------------------------------------------------------------------------------------


def test_skipping_with_a_reason_brings_the_next_task(visit, annotator, two_tasks):
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    page.get_by_text("Skip", exact=True).first.click()
    page.get_by_role("button", name="Unclear prompt").click()
    next_task(page, seat)
    ready(page)
    seat.refresh_from_db()
    assert seat.status == SeatStatus.SKIPPED
    assert seat.skip_reason == "Unclear prompt"


def test_an_empty_queue_says_so_and_finds_new_work(visit, annotator, project, open_ranking_task):
    visitor = visit(annotator)
    visitor.goto("/projects/letters/annotate/")
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("No tasks available")
    open_ranking_task()
    visitor.page.get_by_role("link", name="Refresh").click()
    expect(visitor.page.get_by_text("1 assignment is open")).to_be_visible()
    visitor.page.get_by_role("button", name="Start annotating").click()
    ready(visitor.page)


def test_a_lapsed_seat_says_so_and_still_takes_the_work(visit, annotator, admin, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    Assignment.objects.filter(pk=seat.pk).update(status=SeatStatus.LAPSED, expires_at=None)
    press(page, "1 2 3")
    expect(page.locator("#lease")).to_have_text("Reservation expired – you can still submit")
    submit(page, seat)
    seat.refresh_from_db()
    assert seat.status == SeatStatus.LATE
    assert Ranking.objects.count() == 1
