"""Tables are sorted by their headings, by keyboard too, cells without a value last; what they show is downloaded."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import expect

from annotation.models import Membership, Role
from training.models import TrainingRound, TrainingRun

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def first_cells(page) -> list[str]:
    return [
        text.strip()
        for text in page.locator(
            "table[data-sort] tbody tr th a, table[data-sort] tbody tr th.person"
        ).all_inner_texts()
    ]


def test_rows_are_sorted_by_text_and_by_time(visit, project, admin, annotator, stranger):
    Membership.objects.create(project=project, user=stranger, role=Role.REVIEWER)
    start = timezone.now()
    for number, seconds in ((1, 600), (2, None), (3, 65)):
        over = start + timedelta(seconds=seconds or 0)
        round = TrainingRound.objects.create(project=project, number=number, status="cancelled", finished_at=over)
        begun = {"started_at": start} if seconds else {}
        TrainingRun.objects.create(
            round=round, position=0, method="sample", status="cancelled", finished_at=over, **begun
        )
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/rounds/")
    time = page.get_by_role("columnheader", name="Time")
    time.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(time).to_have_attribute("aria-sort", "ascending")
    assert first_cells(page) == ["Round 3", "Round 1", "Round 2"]
    page.keyboard.press("Enter")
    expect(time).to_have_attribute("aria-sort", "descending")
    assert first_cells(page) == ["Round 1", "Round 3", "Round 2"]
    page.keyboard.press("Enter")
    assert time.get_attribute("aria-sort") is None
    assert first_cells(page) == ["Round 3", "Round 2", "Round 1"]  # the newest first, as they came
    visitor.goto("/projects/letters/members/")
    role = page.get_by_role("columnheader", name="Role")
    role.get_by_role("button").click()
    expect(role).to_have_attribute("aria-sort", "ascending")
    assert [text.split()[0] for text in first_cells(page)] == ["alice", "bob", "charlie"]  # admin, annotator, reviewer
    role.get_by_role("button").click()
    assert [text.split()[0] for text in first_cells(page)] == ["charlie", "bob", "alice"]


def test_a_table_is_downloaded_as_it_is_shown(visit, project, admin, annotator):
    """Without its buttons, and with nothing that a spreadsheet would run: a user name may begin like a formula."""
    odd = User.objects.create_user("+SUM,1")
    Membership.objects.create(project=project, user=odd, role=Role.REVIEWER)
    visitor = visit(admin)
    page = visitor.page
    visitor.goto("/projects/letters/members/")
    page.get_by_role("columnheader", name="Role").get_by_role("button").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download CSV").click()
    assert waiting.value.suggested_filename == "letters-members.csv"
    lines = Path(waiting.value.path()).read_text("utf-8").splitlines()
    assert lines == ["Person,Role", "alice (you),Admin", "bob,Annotator", '"\'+SUM,1",Reviewer']
