"""Reading the answers: columns or a stack, what near-equal ones share, long prompts, wide code, other directions."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from annotation.models import Completion, Project, Prompt, Ranking, Split
from tests.browser.steps import PHONE, get_task, next_task, press, ready

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NEAR = "The capital of Australia is Canberra, which was chosen in {year} between Sydney and Melbourne."


def test_columns_are_remembered_and_answers_stay_where_they_are(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    a, b, c, d = seat.shown_order
    page.get_by_role("button", name="Side by side").click()
    tops = {round(card.bounding_box()["y"]) for card in page.locator(".answer").all()}
    assert len(tops) == 1
    press(page, "3 = 1 x")
    numbers = [card.get_attribute("data-number") for card in page.locator("#waiting .answer").all()]
    assert numbers == ["1", "2", "3", "4"]
    expect(page.locator('.answer[data-number="1"] .place-mark')).to_have_text("1st")
    page.reload()
    ready(page)
    expect(page.get_by_role("button", name="Side by side")).to_have_attribute("aria-pressed", "true")
    press(page, "2 Control+Enter")
    next_task(page, seat)
    ranking = Ranking.objects.get()
    assert ranking.tiers == [[c, a], [b], [d]]
    assert ranking.unacceptable == sorted([b, d])


def test_near_equal_answers_show_where_they_differ(visit, annotator, open_ranking_task):
    open_ranking_task([NEAR.format(year=1908), NEAR.format(year=1901), "Sydney, I think, but do not quote me."])
    visitor = visit(annotator)
    page = visitor.page
    seat = get_task(visitor)
    texts = dict(seat.task.candidates.values_list("pk", "text"))
    near = [number for number, pk in enumerate(seat.shown_order, start=1) if "Canberra" in texts[pk]]
    press(page, str(near[0]))
    press(page, "d")
    dimmed = page.evaluate(
        """() => [...CSS.highlights.get("shared")].map((range) => [
          range.startContainer.parentElement.closest(".answer").dataset.number,
          range.startContainer.data.slice(range.startOffset, range.endOffset)])"""
    )
    assert {number for number, _ in dimmed} == {str(near[1])}  # not the first, and not the one that is quite different
    words = NEAR.split()
    assert [word for _, word in dimmed] == [word for word in words if "year" not in word]
    press(page, "d")
    assert page.evaluate("CSS.highlights.has('shared')") is False


def test_dimming_is_not_offered_where_answers_differ(visit, annotator, open_ranking_task):
    open_ranking_task(["One thing is this, and no other.", "Something else that shares nothing at all.", "No."])
    visitor = visit(annotator)
    get_task(visitor)
    expect(visitor.page.get_by_role("button", name="Side by side")).to_be_visible()
    expect(visitor.page.get_by_role("button", name="Highlight differences")).to_be_hidden()


def test_a_long_prompt_can_be_read_whole(visit, annotator, open_ranking_task, make_prompt):
    open_ranking_task(prompt=make_prompt("A long story. " * 300))
    visitor = visit(annotator)
    page = visitor.page
    get_task(visitor)
    prompt = page.locator("#prompt")
    assert prompt.evaluate("box => box.scrollHeight > box.clientHeight")
    page.get_by_role("button", name="Show the whole prompt").click()
    assert prompt.evaluate("box => box.scrollHeight <= box.clientHeight + 1")
    page.get_by_role("button", name="Keep the prompt in view").click()
    assert prompt.evaluate("box => getComputedStyle(box).position") == "sticky"


def test_wide_code_scrolls_inside_itself_and_arabic_starts_at_the_right(visit, annotator, open_ranking_task, project):
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Go on"},
    ]
    prompt = Prompt.objects.create(
        project=project, messages=messages, digest=Prompt.digest_of(messages), split=Split.TRAIN
    )
    open_ranking_task(["```\n" + "x = 1; " * 80 + "\n```", "ارز مقلي مع البيض"], prompt=prompt)
    visitor = visit(annotator)
    page = visitor.page
    get_task(visitor)
    expect(page.locator("#prompt .message")).to_have_count(3)
    expect(page.get_by_text("Hello", exact=True)).to_be_hidden()
    page.get_by_text("2 earlier messages").click()
    expect(page.get_by_text("Hello", exact=True)).to_be_visible()
    code = page.locator(".answer pre")
    assert code.evaluate("box => box.scrollWidth > box.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    arabic = page.get_by_text("ارز مقلي")
    assert arabic.evaluate("p => getComputedStyle(p).direction") == "rtl"


def test_a_long_response_is_collapsed_until_it_is_asked_for(visit, annotator, open_ranking_task):
    open_ranking_task(["\n\n".join(f"Paragraph {number}." for number in range(60)), "Short."])
    Completion.objects.filter(text="Short.").update(finished=False)
    visitor = visit(annotator)
    page = visitor.page
    get_task(visitor)
    long, short = page.locator(".answer", has_text="Paragraph 59."), page.locator(".answer", has_text="Short.")
    assert long.bounding_box()["height"] < 700
    expect(short.get_by_text("(truncated)")).to_be_visible()
    expect(long.get_by_text("(truncated)")).to_have_count(0)
    expect(short.get_by_role("button", name="Show more")).to_have_count(0)
    more = long.get_by_role("button", name="Show more")
    expect(more).to_have_attribute("aria-expanded", "false")
    more.click()
    assert long.bounding_box()["height"] > 1500
    press(page, "m")
    assert long.bounding_box()["height"] < 700
    press(page, "m")
    assert long.bounding_box()["height"] > 1500


def test_the_ranking_so_far_is_in_sight_and_leads_to_each_response(visit, annotator, open_ranking_task):
    open_ranking_task()
    visitor = visit(annotator)
    page = visitor.page
    get_task(visitor)
    strip = page.locator("#order-strip")
    expect(strip).to_be_hidden()
    press(page, "3 = 1 x 2")
    expect(strip).to_have_text("1st3=1unacceptable:2nd23rd4")
    strip.get_by_role("button", name="Go to response 3").click()
    expect(page.locator('.answer[data-number="3"]')).to_be_focused()


def test_formulas_are_typeset_and_code_is_coloured_before_the_words_are_compared(visit, annotator, open_ranking_task):
    open_ranking_task(["So $\\frac{1}{2}$.\n\n```python\ndef f():\n    return 'x'\n```", "No."])
    visitor = visit(annotator)
    page = visitor.page
    get_task(visitor)
    high, low = page.locator("math mn").all()
    assert high.bounding_box()["y"] + high.bounding_box()["height"] <= low.bounding_box()["y"] + 4
    expect(page.locator("pre .hljs-keyword").first).to_have_text("def")
    expect(page.locator("pre .hljs-string")).to_have_text("'x'")


@pytest.mark.parametrize("window", [{}, PHONE], ids=["desktop", "phone"])
def test_submit_stands_in_one_place_for_every_kind(visit, annotator, project, open_ranking_task, make_prompt, window):
    places = []
    for kind, form in (("ranking", "full"), ("ranking", "best"), ("reference", "full")):
        Project.objects.filter(pk=project.pk).update(ranking_form=form)
        open_ranking_task(kind=kind, prompt=make_prompt(f"{kind} {form}?"))
        visitor = visit(annotator, **window)
        seat = get_task(visitor)
        box = visitor.page.get_by_role("button", name="Submit").bounding_box()
        places.append((round(box["x"]), round(box["y"])))
        seat.delete()
    assert len(set(places)) == 1, places
