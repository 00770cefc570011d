"""Pages from right to left, and with texts 40 % longer, on a desk and a phone; scripts in the language of the page."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests import pseudo

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PAGES = (
    "/",
    "/projects/letters/",
    "/projects/letters/mine/",
    "/projects/letters/settings/",
    "/projects/letters/members/",
    "/projects/letters/quality/",
    "/projects/letters/records/responses/",
    "/projects/letters/policies/",
    "/projects/letters/costs/",
    "/projects/letters/rounds/",
    "/projects/letters/snapshots/",
    "/projects/letters/audit/",
    "/projects/letters/prompts/",
)

# What reaches past the edge of the window outside a part that scrolls by itself, for the message of a failure.
OUTSIDE = """() => [...document.querySelectorAll("main *, header *, nav *")].filter((each) => {
  const box = each.getBoundingClientRect();
  if (!box.width || (box.left >= -1 && box.right <= innerWidth + 1)) return false;
  for (let above = each.parentElement; above; above = above.parentElement)
    if (getComputedStyle(above).overflowX !== "visible") return false;
  return true;
}).slice(0, 6).map((each) => each.outerHTML.slice(0, 160))"""


@pytest.mark.parametrize("width", [1280, 360], ids=["desk", "phone"])
def test_long_texts_from_right_to_left_stay_on_the_page(width, made_up, visit, admin, ranked_task):
    visitor = visit(admin, locale=pseudo.CODE, viewport={"width": width, "height": 800})
    too_wide = []
    for page in PAGES:
        visitor.goto(page)
        expect(visitor.page.locator("html")).to_have_attribute("dir", "rtl")
        assert visitor.page.evaluate("getComputedStyle(document.querySelector('h1')).direction") == "rtl"
        if visitor.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            too_wide.append((page, visitor.page.evaluate(OUTSIDE)))
    assert too_wide == []


def test_scripts_speak_the_language_of_the_page(visit, admin, ranked_task):
    visitor = visit(admin, locale="zh-CN")
    visitor.goto("/projects/letters/records/responses/")
    page = visitor.page
    expect(page.locator("[data-count]")).to_have_text("未选择")
    page.locator("input[name=ids]").first.check()
    expect(page.locator("[data-count]")).to_have_text("已选择 1 条")
