"""The pages that everybody begins at: one's own projects, and the circle of one of them."""

from __future__ import annotations

import re
from html import unescape

import pytest

from training.actions.rounds import start_round

pytestmark = pytest.mark.django_db(transaction=True)


def words(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", unescape(response.content.decode())))


def test_the_circle_has_live_numbers(project, policy, ranked_task, make_worker, as_user, admin, annotator):
    start_round(project=project, methods=["reward", "ppo", "sample"], by=None)
    make_worker().run_until_idle()
    page = as_user(admin).get("/projects/letters/")
    shown = words(page)
    # One prompt of three answers, ranked once; the new policy has answered it four times, all of it candidates.
    for part in (
        "Prompts 1 ", "Completions 7 ", "Tasks 1 of 2 seats judged", "Judgments 1 ", "Snapshot 1 1 ranked tasks frozen",
        "Reward model 70% ", "Policy v1 in use, of 2 versions",
    ):  # fmt: skip
        assert part in shown, part
    assert 'href="/projects/letters/policies/"' in page.content.decode()
    annotators = as_user(annotator).get("/projects/letters/").content.decode()
    assert "Policy" in annotators
    assert 'href="/projects/letters/policies/"' not in annotators


def test_an_admin_is_told_what_to_do_next_and_an_annotator_is_not(project, policy, as_user, admin, annotator):
    assert "Next: prompts" in words(as_user(admin).get("/projects/letters/"))
    assert "Next: prompts: Upload prompts" in words(as_user(admin).get("/"))
    assert "Next:" not in words(as_user(annotator).get("/projects/letters/"))
    assert "Next:" not in words(as_user(annotator).get("/"))


def test_the_first_page_has_ones_own_work(ranked_task, as_user, annotator, open_ranking_task):
    open_ranking_task()
    shown = words(as_user(annotator).get("/"))
    assert "1 open seat." in shown
    assert "Annotate Letters" in shown


def test_the_pages_ask_the_database_a_few_times_whatever_the_project_holds(
    project, policy, ranked_task, as_user, admin, django_assert_max_num_queries
):
    for _ in range(4):
        ranked_task()
    client = as_user(admin)
    client.get("/")
    with django_assert_max_num_queries(45):
        client.get("/projects/letters/")
