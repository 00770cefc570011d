"""axe-core finds nothing serious on any page that an annotator sees, in light and in dark."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from annotation.models import PolicyVersion, Project
from tests.browser.steps import PHONE, get_task, press, submit
from tests.tiny_model import tiny_tokenizer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

TEXTS = [
    "```\n" + "code " * 60 + "\n```\n\n> quoted",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "A [link](https://example.org).",
    "ارز",
]


def problems(page) -> list[str]:
    """Serious and critical violations, in a line each."""
    page.wait_for_timeout(200)  # colours that fade would be measured half-way
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.fixture(params=["light", "dark", "phone"])
def eyes(request) -> dict:
    return {"color_scheme": "dark"} if request.param == "dark" else PHONE if request.param == "phone" else {}


@pytest.mark.parametrize(
    "asked",
    [
        {"criteria": ["helpful", "harmless"]},
        {"ranking_form": "top_k", "rationale": "required"},
        {"ranking_form": "best"},
        {"ranking_form": "graded", "candidates_per_task": 2},
    ],
    ids=["full", "top_k", "best", "graded"],
)
def test_ranking(visit, annotator, project, open_ranking_task, asked, eyes):
    Project.objects.filter(pk=project.pk).update(**asked)
    open_ranking_task(TEXTS[: asked.get("candidates_per_task", 4)])
    visitor = visit(annotator, **eyes)
    get_task(visitor)
    assert problems(visitor.page) == []
    press(visitor.page, "2 x 1")
    assert problems(visitor.page) == []
    press(visitor.page, "c")
    assert problems(visitor.page) == []
    press(visitor.page, "?")
    assert problems(visitor.page) == []


def test_writing(visit, annotator, project, open_ranking_task, eyes):
    Project.objects.filter(pk=project.pk).update(write_first=True)
    open_ranking_task(TEXTS, kind="reference")
    visitor = visit(annotator, **eyes)
    page = visitor.page
    seat = get_task(visitor)
    assert problems(page) == []
    page.get_by_label("Your response").fill("First of all. " * 10)
    page.get_by_role("button", name="Save draft and reveal responses").click()
    page.wait_for_selector("#task[data-ready] .sources .answer")
    page.get_by_text("Preview", exact=True).click()
    page.get_by_label("Your response").fill("Something else.")
    page.get_by_text("Earlier versions").click()
    page.locator("#guidelines > summary").click()
    assert problems(page) == []
    page.locator("#guidelines").get_by_role("button", name="Close").click()
    submit(page, seat)
    assert problems(page) == []  # nothing left to do


def test_the_tokens_that_a_policy_learns(visit, admin, policy, eyes, tmp_path):
    tiny_tokenizer().save_pretrained(tmp_path)
    PolicyVersion.objects.filter(pk=policy.pk).update(checkpoint=str(tmp_path))
    visitor = visit(admin, **eyes)
    visitor.goto("/projects/letters/rounds/tokens/")
    assert visitor.page.locator(".tokens").count() == 5
    assert problems(visitor.page) == []


def test_setting_up_a_project(visit, admin, project, eyes, settings):
    settings.PROJECT_CREATORS = "all"
    visitor = visit(admin, **eyes)
    for path in ("new/", "letters/", "letters/model/", "letters/settings/", "letters/members/"):
        visitor.goto(f"/projects/{path}")
        assert problems(visitor.page) == [], path
    visitor.goto("/projects/new/")
    visitor.page.wait_for_selector(".page-preview")
    visitor.page.get_by_label("Pairwise comparison").check()
    visitor.page.locator(".advanced > summary").click()
    expect(visitor.page.get_by_label("Responses per task")).to_have_value("2")
    expect(visitor.page.get_by_label("Ranks for top k")).to_be_hidden()
    expect(visitor.page.locator(".page-preview .grades")).to_be_visible()
    assert problems(visitor.page) == []
    visitor.goto("/projects/letters/members/invitations/")
    visitor.page.get_by_label("People", exact=True).fill("Ada\nbob@example.org")
    visitor.page.get_by_role("button", name="Create invitations").click()
    expect(visitor.page.get_by_text("2 invitations created")).to_be_visible()
    assert problems(visitor.page) == []


def test_around_the_work(visit, annotator, project, open_ranking_task, eyes):
    open_ranking_task()
    visitor = visit(annotator, **eyes)
    for path in (
        "/accounts/login/",
        "/",
        "/projects/letters/",
        "/projects/letters/annotate/",
        "/accounts/password_change/",
    ):
        visitor.goto(path)
        assert problems(visitor.page) == [], path
    visitor.expected += ["404"]
    visitor.goto("/projects/nowhere/")
    assert problems(visitor.page) == []
    seat = get_task(visitor)
    press(visitor.page, "1 2 3")
    submit(visitor.page, seat)
    visitor.goto(seat.get_absolute_url())  # a task that is stored
    assert problems(visitor.page) == []
