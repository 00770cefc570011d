"""The pages that everybody begins at: one's own projects, and the circle of one of them."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from html import unescape

import pytest
from django.utils import timezone

from annotation.actions import flags, judgments, queue
from annotation.models import Assignment, FlagReason
from training.actions.rounds import start_round
from training.models import TrainingRun

pytestmark = pytest.mark.django_db


def words(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", unescape(response.content.decode())))


def test_the_circle_has_live_numbers(project, policy, ranked_task, make_worker, as_user, admin, annotator):
    start_round(project=project, methods=["reward", "ppo", "sample"], by=None)
    make_worker().run_until_idle()
    page = as_user(admin).get("/projects/letters/")
    shown = words(page)
    # One prompt of three answers, ranked once; the new policy has answered it four times, all of it candidates.
    for part in (
        "Prompts 1 ",
        "Responses 7 ",
        "Tasks 1 of 2 annotations done",
        "Annotations 1 ",
        "Snapshot 1 1 ranked tasks",
        "Reward model 70% ",
        "Policy v1 active · 2 versions",
    ):
        assert part in shown, part
    assert 'href="/projects/letters/policies/"' in page.content.decode()
    annotators = as_user(annotator).get("/projects/letters/").content.decode()
    assert "Policy" in annotators
    assert 'href="/projects/letters/policies/"' not in annotators


def test_a_reward_model_without_unseen_pairs_has_no_figure(project, policy, ranked_task, make_worker, as_user, admin):
    start_round(project=project, methods=["reward"], by=admin)
    make_worker().run_until_idle()
    TrainingRun.objects.update(result={"accuracy": None, "n": 0})
    page = as_user(admin).get("/projects/letters/").content.decode()
    assert "Reward model" in page


def test_an_admin_is_told_what_to_do_next_and_an_annotator_is_not(project, policy, as_user, admin, annotator):
    assert "Import prompts" in words(as_user(admin).get("/projects/letters/"))
    assert "Import prompts" not in words(as_user(annotator).get("/projects/letters/"))
    assert "Next: import prompts: Import prompts" in words(as_user(admin).get("/"))
    assert "Next:" not in words(as_user(annotator).get("/projects/letters/"))
    assert "Next:" not in words(as_user(annotator).get("/"))


def test_the_first_page_has_ones_own_work(ranked_task, as_user, annotator, open_ranking_task):
    open_ranking_task()
    shown = words(as_user(annotator).get("/"))
    assert "1 open task." in shown
    assert "Annotate Letters" in shown


def test_ones_own_pace_and_what_waits_for_a_reviewer(
    project, open_ranking_task, as_user, admin, annotator, annotate_once
):
    assert "in 14 days" not in words(as_user(annotator).get("/projects/letters/"))
    for seconds in (20, 40, 90):
        open_ranking_task()
        annotate_once(annotator, seconds)
    old = Assignment.objects.order_by("pk")[0]
    Assignment.objects.filter(pk=old.pk).update(finished_at=timezone.now() - timedelta(days=15))
    assert "2 today · 2 in 14 days · median 65 s" in words(as_user(annotator).get("/projects/letters/"))
    open_ranking_task()
    seat = queue.claim_next(project=project, by=annotator)
    flags.flag(assignment=seat, completion=None, reason=FlagReason.OTHER, note="No question.", by=annotator)
    assert "1 flag waits for a decision" in words(as_user(admin).get("/projects/letters/"))
    assert "waits for a decision" not in words(as_user(annotator).get("/projects/letters/"))


@pytest.fixture
def annotate_once(project):
    def judge(person, seconds: int) -> None:
        seat = queue.claim_next(project=project, by=person)
        answer = {"tiers": [[pk] for pk in seat.shown_order], "unacceptable": [], "rationale": ""}
        judgments.submit(assignment=seat, client_uuid=uuid.uuid4(), answer=answer, active_ms=1000 * seconds)

    return judge


def test_the_pages_ask_the_database_a_few_times_whatever_the_project_holds(
    project, policy, ranked_task, as_user, admin, django_assert_max_num_queries
):
    for _ in range(4):
        ranked_task()
    client = as_user(admin)
    client.get("/")
    with django_assert_max_num_queries(56):  # with the checklist, which is there until the first policy
        client.get("/projects/letters/")
