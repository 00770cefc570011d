"""Reviewing proposed tasks in a browser, by keyboard alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from annotation.actions import proposals
from annotation.models import Assignment, Project, Proposal, ProposalBatch, ProposalReview, SeatStatus
from tests.browser.steps import PHONE, get_task, press, ready, saved
from tests.browser.test_accessibility import problems

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def propose(project: Project):
    def make(count: int) -> list[Proposal]:
        batch = ProposalBatch.objects.create(project=project, origin="run-1", model="small", proposed=count)
        made = []
        for number in range(count):
            texts = {"instruction": f"Add one to {number}.", "input": "", "output": str(number + 1)}
            similar = [{"id": "seed:add", "text": "Add two to 7.", "score": 0.75}]
            made.append(
                Proposal.objects.create(
                    project=project,
                    batch=batch,
                    index=number,
                    digest=Proposal.digest_of(**texts),
                    similar=similar,
                    similarity=0.75,
                    **texts,
                )
            )
        proposals.open_reviews(project=project, proposals=made)
        return made

    return make


def on_to_the_next(page, done: int) -> None:
    expect(page.locator("#task")).to_contain_text(re.compile(rf"\b{done} tasks?\b"))


def test_ten_proposals_by_keyboard_alone(visit, annotator, propose):
    propose(10)
    visitor = visit(annotator)
    page = visitor.page
    get_task(visitor)
    order = []
    for number, keys in enumerate(["a", "a", "r 1", "r 4", "a", "edit", "r 6", "a", "r 5", "a"]):
        ready(page)
        order.append(Assignment.objects.get(status=SeatStatus.HELD).task.proposal.index)
        if keys == "edit":
            press(page, "e")
            page.keyboard.press("End")
            page.keyboard.type(" Only the number.")
            saved(page)
            press(page, "Control+Enter")
        else:
            press(page, keys)
        on_to_the_next(page, number + 1)
    reviews = {review.assignment.task.proposal.index: review for review in ProposalReview.objects.all()}
    said = [(reviews[index].verdict, reviews[index].reason) for index in order]
    assert said == [
        ("accept", ""),
        ("accept", ""),
        ("reject", "wrong"),
        ("reject", "trivial"),
        ("accept", ""),
        ("edit", ""),
        ("reject", "other"),
        ("accept", ""),
        ("reject", "duplicate"),
        ("accept", ""),
    ]
    assert reviews[order[5]].instruction == f"Add one to {order[5]}. Only the number."
    expect(page.locator("h1")).to_have_text("All tasks completed")


def test_the_last_review_is_reopened_by_its_button_and_an_edit_survives_a_reload(visit, annotator, propose):
    propose(2)
    visitor = visit(annotator)
    page = visitor.page
    first = get_task(visitor)
    press(page, "a")
    on_to_the_next(page, 1)
    ready(page)
    press(page, "u")
    assert ProposalReview.objects.count() == 1
    page.get_by_role("button", name="Undo last submission").click()
    page.wait_for_url(f"**/tasks/{first.key}/")
    ready(page)
    assert not ProposalReview.objects.exists()
    expect(page.locator("[data-verdict=accept]")).to_have_attribute("aria-pressed", "true")

    press(page, "e")
    box = page.get_by_role("textbox", name="Output")
    box.fill("Something else")
    saved(page)
    page.reload()
    ready(page)
    expect(box).to_have_value("Something else")
    press(page, "Control+Enter")
    on_to_the_next(page, 1)
    assert ProposalReview.objects.get().output == "Something else"


def test_an_edit_without_a_change_is_not_handed_in(visit, annotator, propose):
    propose(1)
    visitor = visit(annotator)
    page = visitor.page
    get_task(visitor)
    expect(page.locator("#submit")).to_be_disabled()
    press(page, "e")
    expect(page.locator("#submit-hint")).to_have_text("Nothing is changed yet")
    press(page, "Control+Enter")
    page.get_by_role("textbox", name="Output").fill("")
    expect(page.locator("#submit-hint")).to_have_text("Output is empty")
    page.get_by_role("button", name="Revert to original").click()
    expect(page.get_by_role("textbox", name="Output")).to_be_hidden()
    assert not ProposalReview.objects.exists()


@pytest.mark.parametrize("eyes", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_axe_finds_nothing_serious(visit, annotator, admin, propose, eyes):
    proposal, _ = propose(2)
    visitor = visit(annotator, **eyes)
    get_task(visitor)
    assert problems(visitor.page) == []
    visitor.page.get_by_role("button", name="Reject").click()
    assert problems(visitor.page) == []
    visitor.page.get_by_role("button", name="Edit").click()
    assert problems(visitor.page) == []
    visitor = visit(admin, **eyes)
    for path in ("", f"{proposal.pk}/"):
        visitor.goto(f"/projects/letters/proposals/{path}")
        assert problems(visitor.page) == []
