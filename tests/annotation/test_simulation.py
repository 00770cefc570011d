"""Simulated annotators go through login, pages and API; what they leave behind is what their judge thinks."""

from __future__ import annotations

import threading

import pytest
from django.core.management import CommandError, call_command

from annotation.models import Assignment, Project, Ranking, ReferenceAnswer, SeatStatus
from annotation.simulated_judges import SIMULATED_JUDGES, LengthJudge, SentimentJudge
from annotation.simulation import Habits, simulate
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def test_without_noise_the_ranking_is_the_judges_own_order(project, annotator, open_ranking_task, live_server):
    texts = ["I hate this awful day.", "It is a day.", "What a lovely, wonderful day!", "It is a day, too."]
    task = open_ranking_task(texts)
    simulate(
        url=live_server.url,
        project=project.slug,
        logins=[(annotator.username, PASSWORD)],
        judge=SentimentJudge(),
        habits=Habits(noise=0, skip_share=0),
    )
    by_text = {completion.text: completion.pk for completion in task.candidates.all()}
    hate, plain, lovely, plain_too = (by_text[text] for text in texts)
    ranking = Ranking.objects.get()
    assert [set(tier) for tier in ranking.tiers] == [{lovely}, {plain, plain_too}, {hate}]
    assert ranking.unacceptable == [hate]


@pytest.mark.parametrize(
    "asked",
    [
        {"ranking_form": "graded", "candidates_per_task": 2},
        {"ranking_form": "best"},
        {"ranking_form": "top_k", "top_k": 1, "criteria": ["Tone"], "criteria_required": True},
        {"rationale": "required"},
    ],
)
def test_they_answer_in_the_way_that_the_project_asks(project, annotator, open_ranking_task, live_server, asked):
    Project.objects.filter(pk=project.pk).update(**asked)
    texts = {"hate": "I hate this awful day.", "lovely": "What a lovely, wonderful day!"}
    task = open_ranking_task(list(texts.values()))
    simulate(
        url=live_server.url,
        project=project.slug,
        logins=[(annotator.username, PASSWORD)],
        judge=SentimentJudge(),
        habits=Habits(noise=0, skip_share=0),
    )
    name_of = {task.candidates.get(text=text).pk: name for name, text in texts.items()}
    ranking = Ranking.objects.get()
    assert [[name_of[pk] for pk in tier] for tier in ranking.tiers] == [["lovely"], ["hate"]]
    assert ranking.strength == (2 if asked.get("ranking_form") == "graded" else None)
    if "criteria" in asked:
        assert {name_of[int(pk)]: rated for pk, rated in ranking.ratings.items()} == {
            "lovely": {"Tone": 5},
            "hate": {"Tone": 1},
        }


def test_they_skip_write_and_finish_the_queue(project, annotator, stranger, admin, open_ranking_task, live_server):
    for _ in range(6):
        open_ranking_task(["One two three.", "One two three four five."])
    open_ranking_task(["Short and good. And then it was cut in the", "Else."], kind="reference")
    logins = [(user.username, PASSWORD) for user in (annotator, admin)]
    tally = simulate(
        url=live_server.url, project=project.slug, logins=logins, judge=LengthJudge(), habits=Habits(skip_share=0.3)
    )
    assert tally.skipped == Assignment.objects.filter(status=SeatStatus.SKIPPED).count() > 0
    assert tally.rankings == Ranking.objects.count()
    assert tally.references == ReferenceAnswer.objects.count()


def test_they_stop_when_told(project, annotator, open_ranking_task, live_server):
    open_ranking_task()
    stop = threading.Event()
    stop.set()
    tally = simulate(
        url=live_server.url,
        project=project.slug,
        logins=[(annotator.username, PASSWORD)],
        judge=LengthJudge(),
        habits=Habits(),
        stop=stop,
    )
    assert tally.rankings == 0


def test_the_command_makes_members_and_says_what_they_did(project, open_ranking_task, live_server, capsys):
    open_ranking_task()
    open_ranking_task()
    call_command("simulate_annotators", project="letters", annotators=2, url=live_server.url, noise=0.0)
    assert "rankings" in capsys.readouterr().out
    assert set(project.memberships.values_list("user__username", flat=True)) == {"simulated-1", "simulated-2"}
    assert Assignment.objects.filter(status=SeatStatus.EMPTY, task__prompt__project=project).count() <= 1


def test_the_command_says_when_nobody_answers(project):
    with pytest.raises(CommandError, match=r"http://127\.0\.0\.1:9"):
        call_command("simulate_annotators", project="letters", annotators=1, url="http://127.0.0.1:9")


@pytest.mark.parametrize("name", SIMULATED_JUDGES)
def test_a_judge_likes_its_own_reference_answers_no_less(name):
    judge = SIMULATED_JUDGES[name]()
    for answer in ("This is fine. It goes on and on and on and", "A sad and terrible story.", "Nice."):
        assert judge.score(judge.improve(answer)) >= judge.score(answer)


def test_they_leave_proposed_tasks_to_people(project, annotator, propose, open_ranking_task, live_server):
    propose()
    open_ranking_task()
    tally = simulate(
        url=live_server.url,
        project=project.slug,
        logins=[(annotator.username, PASSWORD)],
        judge=LengthJudge(),
        habits=Habits(skip_share=0),
    )
    assert (tally.skipped, tally.rankings) == (1, 1)
    assert Assignment.objects.filter(task__kind="proposal", status=SeatStatus.EMPTY).count() == 1
