"""What people do on the annotation page, as steps of a test."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from annotation.models import Assignment, SeatStatus

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def get_task(visitor) -> Assignment:
    """From the project's page into the next task, ready to be worked on."""
    visitor.goto("/projects/letters/")
    visitor.page.get_by_role("button", name="Annotate").click()
    ready(visitor.page)
    return Assignment.objects.get(status=SeatStatus.HELD)


def ready(page: Page) -> None:
    page.wait_for_selector("#task[data-ready]")


def next_task(page: Page, after: Assignment) -> None:
    """The task that comes after a submit is there."""
    expect(page).not_to_have_url(re.compile(f"/tasks/{after.key}/$"))


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def drag(page: Page, number: int, target: str) -> None:
    """An answer by its handle onto the first place that `target` finds: held, as by a hand, until the place opens."""
    answer = f'.answer[data-number="{number}"]'
    handle = page.locator(f"{answer} .grip")
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    page.mouse.move(box["x"] + 12, box["y"] + 12)
    page.mouse.down()
    page.mouse.move(box["x"] + 24, box["y"] + 24, steps=5)
    expect(page.locator(".ranking")).to_have_class(re.compile("is-dragging"))
    place = page.locator(target).first
    # The card itself, not the ghost under the pointer, moves into the place that would take it.
    taken = page.locator(target).first.locator(f"{answer}:not(.sortable-fallback)")
    for step in range(100):
        if taken.count():
            break
        box = place.bounding_box()  # places move while the cards fold
        tremor = step % 3 - 1  # no hand is still, and the very middle of a card is neither above nor below
        page.mouse.move(box["x"] + box["width"] / 2 + tremor, box["y"] + box["height"] / 2 + tremor, steps=4)
        page.wait_for_timeout(50)
    expect(taken).to_have_count(1)
    page.mouse.up()
    expect(page.locator(".ranking")).not_to_have_class(re.compile("is-dragging"))


def submit(page: Page, seat: Assignment) -> None:
    page.get_by_role("button", name="Submit").click()
    next_task(page, seat)


def saved(page: Page) -> None:
    expect(page.locator("#save-state")).to_have_attribute("data-state", "saved")
