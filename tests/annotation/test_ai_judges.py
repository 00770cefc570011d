"""AI judges through the pages, the API and the worker, against a server process that checks what it is asked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from annotation import model_server
from annotation.actions import ai_judge_audits, ai_judge_runs, ai_judges, quality, snapshots
from annotation.errors import NotPossible
from annotation.judged.counted import Filter
from annotation.models import (
    AIJudge,
    AIJudgeRun,
    AIJudgeVersion,
    AIJudgment,
    Assignment,
    AuditEvent,
    Notification,
    Ranking,
    SeatStatus,
    Task,
)
from annotation.outgoing import SERVERS_VARIABLE
from annotation.quality.calibration import calibration, compared_pairs
from annotation.quality.drift import is_audited
from annotation.quality.judge_trust import TAKEN_BACK, rows_of
from annotation.quality.report import quality_report
from tests.judge_server import ODD, SECRET_OF_THE_SERVER

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "sesame of the judge"
RUBRIC = "Prefer the higher quality."
EARLIER = timedelta(hours=1)  # judgments of then can no longer be undone


@pytest.fixture(scope="module")
def judging_process() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.judge_server", KEY]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait()


@pytest.fixture
def server(judging_process: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The server, which the operator lists with its key."""
    monkeypatch.setenv("KEY_OF_THE_JUDGE", KEY)
    monkeypatch.setenv(SERVERS_VARIABLE, f"{judging_process}/v1=KEY_OF_THE_JUDGE, http://127.0.0.1:9/v1")
    monkeypatch.setattr(model_server, "FIRST_WAIT", 0.01)

    def call(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{judging_process}{path}", data), timeout=10) as answer:
            return dict(json.load(answer))

    before = len(call("/asked")["asked"])
    yield SimpleNamespace(
        url=f"{judging_process}/v1",
        asked=lambda: call("/asked")["asked"][before:],
        faults=lambda: call("/asked")["faults"],
        set_status=lambda status: call("/mood", {"status": status}),
        turn=lambda: call("/mood", {"status": 200, "turned": True}),
    )
    call("/mood", {"status": 200})


@pytest.fixture
def people(db: None) -> list[User]:
    return [User.objects.create_user(f"person-{number}") for number in (1, 2)]


@pytest.fixture
def judged_by_people(
    open_ranking_task: Callable[..., Task], make_prompt: Callable[..., Any], people: list[User]
) -> Callable[..., Task]:
    """A task with a response of each quality, and each person's order of them, an hour ago."""

    def make(
        *orders: list[list[int]], text: str | None = None, qualities: tuple[int, ...] = (1, 2), **about: Any
    ) -> Task:
        prompt = make_prompt(text, **about)
        texts = [f"Response of quality {number}" for number in qualities]
        task = open_ranking_task(texts, prompt=prompt, seats=max(len(orders), 1))
        ids = sorted(task.candidates.values_list("pk", flat=True))
        for person, order in zip(people, orders, strict=False):
            say(task, person, [[ids[place] for place in tier] for tier in order])
        return task

    return make


def say(task: Task, person: User, tiers: list[list[int]], ago: timedelta = EARLIER) -> Ranking:
    seat = Assignment.objects.filter(task=task, status=SeatStatus.EMPTY).order_by("pk")[0]
    values = {"status": SeatStatus.DONE, "annotator": person, "finished_at": timezone.now() - ago}
    Assignment.objects.filter(pk=seat.pk).update(**values)
    return Ranking.objects.create(assignment_id=seat.pk, client_uuid=uuid.uuid4(), tiers=tiers)


@pytest.fixture
def judge(project, admin, server) -> AIJudge:
    return ai_judges.make_judge(
        project=project,
        name="Small",
        by=admin,
        server=server.url,
        model="",
        rubric=RUBRIC,
        temperature=0.0,
        max_tokens=64,
    )


def work(version: AIJudgeVersion, admin: User, pairs: int = 100) -> AIJudgeRun:
    """Start a run and let a worker do all of it."""
    run = ai_judges.start_run(version=version, pairs=pairs, by=admin)
    while ai_judge_runs.work_next():
        pass
    run.refresh_from_db()
    return run


def resumed(run: AIJudgeRun, admin: User) -> AIJudgeRun:
    """Resume a run and let a worker do the rest of it."""
    ai_judges.resume(run=run, by=admin)
    while ai_judge_runs.work_next():
        pass
    run.refresh_from_db()
    return run


BETTER_SECOND, BETTER_FIRST, TIED = [[1], [0]], [[0], [1]], [[0, 1]]


def test_an_admin_makes_calibrates_and_reads_a_judge(alice, project, server, judged_by_people, policy, admin):
    """The whole way through pages and API, with what the server was asked."""
    for number in range(6):
        judged_by_people(BETTER_SECOND, BETTER_SECOND if number else BETTER_FIRST, category="a" if number < 3 else "b")
    before = quality_report(project) | {"computed_at": None}
    page = alice.get("/projects/letters/judges/")
    assert "No judge yet" in page.content.decode()
    values = {"server": server.url, "model": "", "rubric": RUBRIC, "temperature": "0", "max_tokens": "64"}
    answer = alice.post("/projects/letters/judges/", {"name": "Small", **values})
    judge = AIJudge.objects.get()
    assert answer.headers["Location"] == judge.get_absolute_url()
    assert "Not calibrated yet" in alice.get(judge.get_absolute_url()).content.decode()
    alice.post(f"{judge.get_absolute_url()}prices/", {"input_price": "2.5", "output_price": "10"})
    alice.post(f"{judge.get_absolute_url()}versions/1/run/", {"pairs": "100"})
    while ai_judge_runs.work_next():
        pass
    # Six pairs and one of them twice, each in both orders; whose the responses are is told nowhere.
    asked = server.asked()
    assert (len(asked), server.faults()) == (14, [])
    shown = [body["messages"][1]["content"] for body in asked]
    orders = ["quality 1" in text.partition("<response-B")[0] for text in shown]
    assert (orders.count(True), orders.count(False)) == (7, 7)
    assert all(str(policy) not in text and "policy" not in text.lower() for text in shown)
    assert {(body["temperature"], body["max_tokens"]) for body in asked} == {(0.0, 64)}
    # On five of six pairs both people agree with it, on one of them one of two does.
    figures = alice.get(f"/api/v1/projects/letters/judges/{judge.pk}/versions/1/calibration/").json()
    assert figures["overall"]["agreement"]["value"] == pytest.approx(5.5 / 6)
    assert figures["overall"]["people_agreement"]["value"] == pytest.approx(5 / 6)
    assert figures["overall"]["difference"]["value"] == pytest.approx(0.5 / 6)
    assert {(row["dimension"], row["value"], row["pairs"]) for row in figures["slices"]} == {
        ("category", "a", 3),
        ("category", "b", 3),
    }
    assert figures["self_consistency"]["value"] == 1.0
    assert figures["order_disagreement"]["value"] == 0.0
    assert (figures["settled"], figures["input_tokens"], figures["output_tokens"]) == (7, 1400, 280)
    assert figures["cost"] == pytest.approx((1400 * 2.5 + 280 * 10) / 1e6)
    assert figures["cost_per_thousand"] == pytest.approx(0.9)
    text = alice.get(judge.get_absolute_url()).content.decode()
    assert "91.7%" in text
    assert "83.3%" in text
    assert "240,000 tokens" in alice.get("/projects/letters/judges/").content.decode()
    # Nothing of it is among people's judgments.
    assert quality_report(project) | {"computed_at": None} == before
    assert Ranking.objects.count() == 12
    assert snapshots.take_snapshot(project=project, by=admin).rows == 5  # the sixth is even
    assert {event.action for event in AuditEvent.objects.filter(project=project)} >= {"ai-judge", "ai-judge-run"}


@pytest.mark.database
def test_a_version_never_changes_and_each_has_its_own_figures(alice, judge, server, admin, judged_by_people):
    judged_by_people(BETTER_SECOND)
    assert work(judge.versions.get(), admin).status == "done"
    values = {
        "server": server.url,
        "model": "small-judge",
        "rubric": "Another.",
        "temperature": "0.5",
        "max_tokens": "64",
    }
    for _ in range(2):  # the same again makes no third version
        alice.post(judge.get_absolute_url(), values)
    assert [version.number for version in judge.versions.all()] == [2, 1]
    assert "Not calibrated yet" in alice.get(judge.get_absolute_url()).content.decode()
    assert "Not calibrated yet" not in alice.get(f"{judge.get_absolute_url()}?version=1").content.decode()
    assert alice.get(f"{judge.get_absolute_url()}?version=3").status_code == 404
    work(judge.versions.get(number=2), admin)
    seeds = [body.get("seed") for body in server.asked()]
    assert seeds[:4] == [None] * 4
    assert len(set(seeds[4:])) == 4
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        AIJudgeVersion.objects.filter(judge=judge).update(rubric="Changed.")
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        AIJudgment.objects.update(choice=0, forward=0, backward=0)
    judge.delete()
    assert not AIJudgment.objects.exists()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"server": "http://elsewhere.test/v1"}, "elsewhere.test"),
        ({"rubric": "  "}, "required"),
        ({"rubric": "x" * 20_001}, "20,000"),
        ({"temperature": "2.5"}, "less than or equal to 2"),
        ({"max_tokens": "0"}, "greater than or equal to 1"),
        ({"name": ""}, "required"),
        ({"name": "Small"}, "called Small already"),
    ],
)
def test_what_cannot_be_a_judge_is_said_by_field(alice, judge, server, values, problem):
    given = {"name": "New", "server": server.url, "model": "", "rubric": RUBRIC, "temperature": "0", "max_tokens": "64"}
    page = alice.post("/projects/letters/judges/", given | values)
    assert page.status_code == 422
    assert problem in page.content.decode()
    answer = alice.post("/api/v1/projects/letters/judges/", given | values, content_type="application/json")
    assert answer.status_code in (400, 409)
    assert problem in answer.content.decode()
    assert AIJudge.objects.count() == 1


def test_an_odd_answer_costs_its_pair_and_says_why(judge, admin, server, judged_by_people):
    """Every odd answer beside good ones: the run ends well, each reason is told and nothing of the server's text."""
    for name in [*ODD, "odd:refused", "odd:cut"]:
        judged_by_people(BETTER_SECOND, text=f"Question {name} of many")
    for _ in range(3):
        judged_by_people(BETTER_SECOND)
    run = work(judge.versions.get(), admin)
    assert (run.status, run.error) == ("done", "")
    said = {
        row.task.prompt.last_message.split()[1]: row.problem or row.choice
        for row in AIJudgment.objects.filter(repeat=0).select_related("task__prompt")
    }
    problems = {name: said.get(name) for name in [*ODD, "odd:refused", "odd:cut"]}
    assert (problems.pop("odd:usage"), problems.pop("odd:ended")) == (0, 0)
    assert problems == {
        "odd:page": "the reply is no JSON",
        "odd:empty": "the reply is no JSON",
        "odd:list": "the reply is no JSON object",
        "odd:latin": "the reply is no UTF-8",
        "odd:none": "the reply has no choices",
        "odd:number": "an answer's content is no text but int",
        "odd:silent": "the verdict is empty",
        "odd:undecided": "no verdict: neither [[A]] nor [[B]] nor [[TIE]]",
        "odd:thinks": "the verdict ended before its thoughts did",
        "odd:picture": "an answer has a part that is no text",
        "odd:stopped": "the reply was cut before its verdict: allow a longer one",
        "odd:refused": "the server says 422 Unprocessable Entity; its own log says why",
        "odd:cut": problems["odd:cut"],
    }
    assert "IncompleteRead" in problems["odd:cut"] or "answers others" in problems["odd:cut"]
    assert [row.choice for row in AIJudgment.objects.usable().filter(repeat=0)].count(-1) == 3
    found = calibration(judge.versions.get())
    assert dict(found.unusable)["the reply is no JSON"] >= 2
    assert SECRET_OF_THE_SERVER not in json.dumps(list(AIJudgment.objects.values_list("problem")))


def test_a_server_that_fails_stops_the_run_which_goes_on_later(alice, judge, admin, server, judged_by_people):
    for _ in range(4):
        judged_by_people(BETTER_SECOND)
    version = judge.versions.get()
    server.set_status(401)
    run = work(version, admin)
    assert run.status == "failed"
    assert "refuses the key in KEY_OF_THE_JUDGE (401 Unauthorized)" in run.error
    assert SECRET_OF_THE_SERVER not in run.error
    assert KEY not in run.error
    page = alice.get(judge.get_absolute_url()).content.decode()
    assert "refuses the key in KEY_OF_THE_JUDGE" in page
    assert "0 of 5" in page
    server.set_status(200)
    resume = f"{judge.get_absolute_url()}runs/{run.pk}/resume/"
    alice.post(resume)
    alice.post(resume)  # a second click changes nothing
    while ai_judge_runs.work_next():
        pass
    run.refresh_from_db()
    assert (run.status, run.judgments.usable().count()) == ("done", 5)
    address = f"/api/v1/projects/letters/judges/{judge.pk}/runs/{run.pk}/resume/"
    assert alice.post(address).json()["detail"].startswith("This run has no pairs left")


def test_a_key_and_a_status_line_are_never_quoted(judge, admin, server, judged_by_people, monkeypatch):
    """A key with a newline at its end is taken without it. One with a newline inside ends the run and is not shown."""
    judged_by_people(BETTER_SECOND, text="odd:babble")
    version = judge.versions.get()
    monkeypatch.setenv("KEY_OF_THE_JUDGE", f"{KEY}\n")
    run = work(version, admin)
    assert (run.status, server.faults()) == ("failed", [])
    assert run.error.endswith("after 4 attempts: what it answers is not HTTP")
    monkeypatch.setenv("KEY_OF_THE_JUDGE", f"{KEY}\n{KEY}")
    ai_judges.resume(run=run, by=admin)
    assert ai_judge_runs.work_next()
    run.refresh_from_db()
    assert run.error == "KEY_OF_THE_JUDGE holds characters that no key has: set it to the key alone"
    # What no one foresaw is told by its kind only.
    monkeypatch.setenv("KEY_OF_THE_JUDGE", KEY)
    monkeypatch.setattr(ai_judge_runs, "_open_pairs", lambda run: int(KEY))
    ai_judges.resume(run=run, by=admin)
    assert ai_judge_runs.work_next()
    run.refresh_from_db()
    assert (run.status, run.error) == ("failed", "ValueError")


def test_a_server_that_never_gives_a_verdict_is_no_judge(judge, admin, judged_by_people):
    for number in range(30):
        judged_by_people(BETTER_SECOND, text=f"odd:undecided {number}")
    run = work(judge.versions.get(), admin, pairs=30)
    assert run.status == "failed"
    assert "no verdict in 24 pairs: no verdict: neither" in run.error
    assert run.judgments.exclude(settled_at=None).count() == 24
    # Those of before it was resumed count no more.
    assert resumed(run, admin).status == "done"
    assert (run.judgments.exclude(problem="").count(), run.judgments.usable().count()) == (30, 0)


def test_a_resumed_run_gets_past_pairs_that_the_server_fails_at(judge, admin, judged_by_people):
    for number in range(3):
        judged_by_people(BETTER_SECOND, text=f"odd:down {number}")
    run = work(judge.versions.get(), admin)
    assert (run.status, run.judgments.waiting().count()) == ("failed", 4)
    assert "does not answer after 4 attempts: 500 Internal Server Error" in run.error
    run = resumed(run, admin)
    assert (run.status, run.error, run.judgments.waiting().count()) == ("done", "", 0)
    assert {row.problem for row in run.judgments.all()} == {
        "the server answers others, and after 4 attempts: 500 Internal Server Error"
    }


def test_a_text_that_was_withdrawn_is_sent_to_no_server(alice, judge, admin, server, judged_by_people):
    """A response of one pair and the prompt of another, after the run was planned; later they are in use again."""
    judged_by_people(BETTER_SECOND)
    response = judged_by_people(BETTER_SECOND, qualities=(1, 77)).candidates.get(text__endswith="77")
    prompt = judged_by_people(BETTER_SECOND, text="A prompt to take back").prompt
    version = judge.versions.get()
    server.set_status(401)
    run = work(version, admin)
    server.set_status(200)
    before = len(server.asked())
    for text in (response, prompt):
        type(text).objects.filter(pk=text.pk).update(withdrawn_at=timezone.now())
    run = resumed(run, admin)
    assert (run.status, run.error) == ("done", ai_judge_runs.TEXTS_WITHDRAWN)
    shown = json.dumps(server.asked()[before:])
    assert "Response of quality 2" in shown
    assert "quality 77" not in shown
    assert "take back" not in shown
    assert "that were withdrawn were left out" in alice.get(judge.get_absolute_url()).content.decode()
    for text in (response, prompt):
        type(text).objects.filter(pk=text.pk).update(withdrawn_at=None)
    again = work(version, admin)
    assert (again.status, again.error, again.judgments.usable().filter(repeat=0).count()) == ("done", "", 2)


def test_a_run_that_is_cut_off_asks_each_pair_once(judge, admin, server, judged_by_people, settings, monkeypatch):
    """A worker that stops, one that is killed and one that is overtaken: nothing is lost and nothing asked twice."""
    monkeypatch.setattr(ai_judge_runs, "PAIRS_AT_ONCE", 2)
    monkeypatch.setattr(ai_judge_runs, "BEATS_EVERY_SECONDS", 60.0)  # a slow server brings no further look at `turns`
    for _ in range(8):
        judged_by_people(BETTER_SECOND)
    run = ai_judges.start_run(version=judge.versions.get(), pairs=8, by=admin)
    turns = iter([False, False, False, True])
    assert ai_judge_runs.work_next(lambda: next(turns))
    run.refresh_from_db()
    assert run.status == "queued"
    first = run.judgments.exclude(settled_at=None).count()
    assert 0 < first < 8
    # A worker took it and was killed: its row says running until its sign of life is old.
    AIJudgeRun.objects.filter(pk=run.pk).update(status="running", attempt=1, heartbeat_at=timezone.now())
    assert not ai_judge_runs.work_next()
    AIJudgeRun.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(days=1))
    while ai_judge_runs.work_next():
        pass
    run.refresh_from_db()
    assert run.status == "done"
    texts = [body["messages"][1]["content"] for body in server.asked()]
    assert run.judgments.usable().count() == 8
    assert len(texts) == 2 * 8
    again = work(judge.versions.get(), admin)
    assert (again.status, again.planned) == ("done", True)  # one of the eight was left out for a repeat
    assert work(judge.versions.get(), admin).error == ai_judge_runs.NOTHING_TO_JUDGE


def test_a_worker_that_fell_behind_never_owns_a_run_again(judge, admin, judged_by_people, settings, monkeypatch):
    """The first worker is away while others take, put back, stop and resume its run: each has a number of its own."""
    monkeypatch.setattr(ai_judge_runs, "PAIRS_AT_ONCE", 1)
    for _ in range(4):
        judged_by_people(BETTER_SECOND)
    run = ai_judges.start_run(version=judge.versions.get(), pairs=4, by=admin)
    claim = {"status": "running", "heartbeat_at": timezone.now()}
    waits = AIJudgeRun.objects.filter(pk=run.pk)
    behind = [waits.claim(**claim)]
    waits.update(heartbeat_at=timezone.now() - timedelta(days=1))
    turns = iter([False, False, True])
    assert ai_judge_runs.work_next(lambda: next(turns))  # the second worker, which puts it back
    behind.append(waits.claim(**claim))
    ai_judges.cancel(run=run, by=admin)
    ai_judges.resume(run=run, by=admin)
    for _ in range(3):  # the last number of a turn is a worker's, too
        behind.append(waits.claim(**claim))
        waits.update(heartbeat_at=timezone.now() - timedelta(days=1))
    assert len({each.attempt for each in behind}) == 5
    assert not any(AIJudgeRun.objects.still_ours(each).exists() for each in behind[:-1])
    ai_judge_runs._end(behind[0], "done", "")
    with pytest.raises(ai_judge_runs.RunOvertaken):
        ai_judge_runs._beat(behind[0])
    # Three workers of this turn went away: the fourth gives it up.
    assert ai_judge_runs.work_next()
    run.refresh_from_db()
    assert (run.status, run.error) == ("failed", "The worker went away several times in this run.")
    ai_judges.resume(run=run, by=admin)
    while ai_judge_runs.work_next():
        pass
    run.refresh_from_db()
    assert (run.status, run.judgments.usable().count()) == ("done", 4)


def test_a_run_is_cancelled_while_it_asks(alice, judge, admin, judged_by_people, monkeypatch):
    monkeypatch.setattr(ai_judge_runs, "PAIRS_AT_ONCE", 2)
    for _ in range(6):
        judged_by_people(BETTER_SECOND)
    run = ai_judges.start_run(version=judge.versions.get(), pairs=6, by=admin)
    with pytest.raises(Exception, match="judging already"):
        ai_judges.start_run(version=judge.versions.get(), pairs=6, by=admin)

    def cancels() -> bool:
        alice.post(f"{judge.get_absolute_url()}runs/{run.pk}/cancel/")
        return False

    assert ai_judge_runs.work_next(cancels)
    run.refresh_from_db()
    assert (run.status, bool(run.finished_at)) == ("cancelled", True)
    assert run.judgments.exclude(settled_at=None).count() < 6
    alice.post(f"{judge.get_absolute_url()}runs/{run.pk}/resume/")
    while ai_judge_runs.work_next():
        pass
    assert run.judgments.usable().count() == 6


def test_pairs_that_a_stopped_run_left_open_are_asked_by_the_next(judge, admin, server, judged_by_people):
    for _ in range(3):
        judged_by_people(BETTER_SECOND)
    version = judge.versions.get()
    server.set_status(401)
    stopped = work(version, admin)
    assert (stopped.status, stopped.judgments.waiting().count()) == ("failed", 4)
    server.set_status(200)
    run = work(version, admin)
    assert (run.status, run.judgments.usable().count(), stopped.judgments.count()) == ("done", 4, 0)
    with pytest.raises(NotPossible, match="no pairs left"):
        ai_judges.resume(run=stopped, by=admin)


def test_people_count_once_they_cannot_change_their_mind(judge, admin, project, people, judged_by_people):
    """Not yet final, withdrawn and excluded judgments are not what a judge is held against."""
    task = judged_by_people(qualities=(1, 2))
    ids = sorted(task.candidates.values_list("pk", flat=True))
    mine = say(task, people[0], [[ids[1]], [ids[0]]], ago=timedelta(minutes=1))
    run = work(judge.versions.get(), admin)
    assert (run.status, run.error) == ("failed", ai_judge_runs.NOTHING_TO_JUDGE)
    Assignment.objects.filter(pk=mine.assignment_id).update(finished_at=timezone.now() - EARLIER)
    assert work(judge.versions.get(), admin).status == "done"
    pairs, _ = compared_pairs(judge.versions.get())
    assert [(pair.people, pair.choice) for pair in pairs] == [((-1,), -1)]
    quality.exclude(project=project, annotator=people[0], reason="haste", by=admin)
    assert compared_pairs(judge.versions.get())[0] == []


def test_a_judge_with_position_bias_is_caught(judge, admin, judged_by_people):
    for number in range(20):
        judged_by_people(BETTER_SECOND, BETTER_SECOND, text=f"habit:first {number}")
    work(judge.versions.get(), admin)
    found = calibration(judge.versions.get())
    assert found.position_verdict == "first-position bias detected"
    assert found.position_excess.value == 0.5
    assert found.order_disagreement.value == 1.0
    assert (found.ties.value, found.overall.agreement.value) == (1.0, 0.0)


def test_length_is_looked_at_beside_people(judge, admin, judged_by_people):
    for number in range(6):
        judged_by_people(BETTER_FIRST, BETTER_SECOND, text=f"habit:long {number}", qualities=(1, 22))
    work(judge.versions.get(), admin)
    found = calibration(judge.versions.get())
    assert (found.longer_wins.value, found.people_longer_wins.value) == (1.0, 0.5)
    assert found.position_verdict == "too few rankings"


@pytest.mark.database
def test_the_database_keeps_what_a_judgment_is(judge, admin, judged_by_people):
    judged_by_people(BETTER_SECOND)
    run = work(judge.versions.get(), admin)
    row = run.judgments.filter(repeat=0).values("run_id", "version_id", "task_id", "first_id", "second_id").get()
    turned = row | {"first_id": row["second_id"], "second_id": row["first_id"]}
    now = timezone.now()
    for values in (
        row,  # the same pair again
        turned,
        row | {"repeat": 2},
        row | {"repeat": 1, "choice": 1},  # said, and not settled
        row | {"repeat": 1, "settled_at": now},  # settled, and nothing said
        row | {"repeat": 1, "settled_at": now, "choice": 1, "forward": 1, "backward": 0},  # the orders differ
        row | {"repeat": 1, "settled_at": now, "choice": 1, "forward": 1},  # one order only
        row | {"repeat": 1, "settled_at": now, "choice": 0, "forward": 1, "backward": 1},
        row | {"repeat": 1, "settled_at": now, "choice": 2, "forward": 2, "backward": 2},
    ):
        AIJudgment.objects.filter(repeat=1).delete()
        with pytest.raises(IntegrityError), transaction.atomic():
            AIJudgment.objects.create(**values)


def test_a_snapshot_has_ai_judgments_only_when_asked(alice, project, judge, admin, judged_by_people, make_prompt):
    """A person prefers the first response, or neither, and the judge, by half a weight, the second."""
    judged_by_people(TIED, split="train", text="Alike to people", qualities=(1, 22))
    judged_by_people(BETTER_FIRST, split="train", text="Learnt from")
    judged_by_people(BETTER_FIRST, split="eval", text="Held out")
    assert work(judge.versions.get(), admin).judgments.usable().filter(choice=-1, repeat=0).count() == 3
    unasked = snapshots.take_snapshot(project=project, by=admin, type="ranking")
    assert "machine" not in unasked.card
    version = judge.versions.get().pk
    page = alice.get("/projects/letters/snapshots/").content.decode()
    assert f'<option value="{version}">Small v1</option>' in page
    alice.post("/projects/letters/snapshots/", {"type": "ranking", "judge": version, "judge_weight": "0.5"})
    taken = project.snapshots.newest()
    rows = {row["split"]: row for row in map(json.loads, taken.path.read_text("utf-8").splitlines())}
    said = [(vote["annotator"].partition("-")[0], vote["tiers"], vote["weight"]) for vote in rows["train"]["rankings"]]
    assert said == [("annotator", [[0], [1]], 1.0), ("judge:Small v1", [[1], [0]], 0.5)]
    assert len(rows["eval"]["rankings"]) == 1  # what a reward model is measured on is people's
    assert taken.card["machine"] == {"judges": {"Small v1": 2}, "weight": 0.5, "share": 0.4}
    assert taken.card["length"]["mean_chosen"] == taken.card["length"]["mean_rejected"] == 21.0  # of people's pairs
    assert {**taken.card, "machine": None} == {**unasked.card, "machine": None}
    assert taken.counts["AI judgments"] == 2
    assert taken.counts["annotators"] == 1
    shown = alice.get(taken.get_absolute_url()).content.decode()
    assert "40.0% of the judgments are by an AI judge" in shown
    # Two votes of weight 1 and .5: the person's order wins with two thirds.
    answer = alice.post(
        "/api/v1/projects/letters/snapshots/",
        {"type": "preference", "filter": {"judge": version, "judge_weight": 0.5}},
        content_type="application/json",
    )
    assert answer.status_code == 201
    pairs = map(json.loads, project.snapshots.newest().path.read_text("utf-8").splitlines())
    found = {row["split"]: (row["votes_for"], row["votes_against"], row["share"]) for row in pairs}
    assert found == {"train": (1, 1, 0.666667), "eval": (1, 0, 1.0)}


def test_what_a_judge_said_of_a_task_is_blind_to_a_reviewer_who_may_judge_it(
    project, judge, admin, alice, rita, judged_by_people
):
    """Through the rows of a snapshot that asks for it, and its changes since one that does not, both ways."""
    judged_by_people(BETTER_FIRST, split="train")
    task = judged_by_people(split="train")
    first, second = sorted(task.candidates.values_list("pk", flat=True))
    version, now = judge.versions.get(), timezone.now()
    run = AIJudgeRun.objects.create(version=version, most_pairs=1, status="done", finished_at=now)
    said = {"task": task, "first_id": first, "second_id": second, "forward": -1, "backward": -1, "choice": -1}
    AIJudgment.objects.create(run=run, version=version, settled_at=now, **said)
    asked = Filter(judge=version.pk, judge_weight=1.0)
    rows = [snapshots.take_snapshot(project=project, by=admin, wanted=wanted).rows for wanted in (asked, Filter())]
    assert rows == [2, 1]
    ways = ["snapshots/1/download/", "snapshots/2/changes/1/", "snapshots/1/changes/2/"]
    for way in ways:
        page = rita.get(f"/projects/letters/{way}", follow=True)
        assert "of 1 task that you may still annotate" in page.content.decode()
        assert rita.get(f"/api/v1/projects/letters/{way}").status_code == 409
        assert alice.get(f"/api/v1/projects/letters/{way}").status_code == 200
    assert rita.get("/api/v1/projects/letters/snapshots/2/download/").status_code == 200
    Assignment.objects.filter(task=task).delete()  # nobody is asked any more
    for way in ways:
        assert rita.get(f"/projects/letters/{way}").status_code == 200
        assert rita.get(f"/api/v1/projects/letters/{way}").status_code == 200


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"judge_weight": 0.0}, "a weight above 0"),
        ({"judge": 999_999, "judge_weight": 1}, "no such version"),
        ({"judge_weight": 1, "type": "prompts"}, "preference, ranking and raw annotation snapshots only"),
    ],
)
def test_a_snapshot_refuses_what_no_judge_can_give(alice, judge, values, problem):
    given = {"judge": judge.versions.get().pk, **{name: value for name, value in values.items() if name != "type"}}
    body = {"type": values.get("type", "preference"), "filter": given}
    answer = alice.post("/api/v1/projects/letters/snapshots/", body, content_type="application/json")
    assert answer.status_code == 409
    assert problem in answer.content.decode()


@pytest.mark.slow
def test_a_planted_judge_takes_over_the_slice_it_is_good_on(alice, project, judge, admin, server, judged_by_people):
    """It is like people on prompts about tea. On wine it prefers the longer one and people the better: not there."""
    for number in range(60):
        judged_by_people(BETTER_SECOND, BETTER_SECOND, category="tea")
        longer_is_worse = {"text": f"habit:long wine {number}", "qualities": (11, 2)}
        judged_by_people(BETTER_SECOND, BETTER_SECOND, category="wine", **longer_is_worse)
    version = judge.versions.get()
    work(version, admin, pairs=200)
    address = f"/api/v1/projects/letters/judges/{judge.pk}/versions/1/"
    slices = {row["value"]: row for row in alice.get(f"{address}calibration/").json()["slices"]}
    assert {name: slices[name]["reliable"] for name in ("tea", "wine")} == {"tea": True, "wine": False}
    assert slices["wine"]["reason"] == "may be worse than people"
    page = alice.get(judge.get_absolute_url()).content.decode()
    link = "?version=1&amp;dimension=category&amp;value="
    assert (f"{link}tea#take-over" in page, f"{link}wine#" in page, "take-over/" in page) == (True, False, False)
    # What is typed stands outside of the part that is fetched anew while a run goes on.
    ai_judges.start_run(version=version, pairs=1, by=admin)
    page = alice.get(f"{judge.get_absolute_url()}{link.replace('amp;', '')}tea").content.decode()
    figures, _, forms = page.partition('id="take-over"')
    assert 'hx-trigger="every 5s"' in figures
    assert re.findall(r'<input type="(?!hidden)', figures.partition('id="judge-figures"')[2]) == []
    assert {'name="dimension" value="category"', 'name="value" value="tea"'} <= set(
        re.findall(r'name="\w+" value="\w+"', forms)
    )
    assert "asked in both orders.</div>" in forms.replace(" <span", "</div>")
    assert "take-over/" not in alice.get(f"{judge.get_absolute_url()}{link.replace('amp;', '')}wine").content.decode()
    ai_judges.cancel(run=AIJudgeRun.objects.latest("pk"), by=admin)

    tea = [judged_by_people(category="tea") for _ in range(40)]
    wine = [judged_by_people(category="wine") for _ in range(3)]
    body = {"pairs": 500, "audit_share": 0.5, "dimension": "category", "value": "wine"}
    answer = alice.post(f"{address}take-over/", body, content_type="application/json")
    assert (answer.status_code, "may be worse than people" in answer.json()["detail"]) == (409, True)
    answer = alice.post(f"{address}take-over/", body | {"value": "beer"}, content_type="application/json")
    assert (answer.status_code, "no such slice" in answer.json()["detail"]) == (409, True)
    for share in ({}, {"audit_share": 0}):
        refused = {"pairs": 500, "dimension": "category", "value": "tea"} | share
        assert alice.post(f"{address}take-over/", refused, content_type="application/json").status_code == 400

    alice.post(f"{judge.get_absolute_url()}versions/1/take-over/", body | {"value": "tea"})
    while ai_judge_runs.work_next():
        pass
    run = AIJudgeRun.objects.latest("pk")
    assert (run.status, run.takeover, run.value, run.audit_share) == ("done", True, "tea", 0.5)
    taken = set(run.judgments.values_list("task_id", flat=True))
    assert taken <= {task.pk for task in tea}
    assert not taken & {task.pk for task in wine}
    assert 0 < len(taken) < 40  # half of them by a hash: one in a million millions that it is all or none
    assert set(run.judgments.values_list("choice", flat=True)) == {-1}
    # People are asked all the same, and the figures of the calibration are of what people judged.
    assert Assignment.objects.empty().filter(task__in=tea).count() == 40
    assert calibration(version).overall.pairs == 120
    again = alice.post(f"{address}take-over/", body | {"value": "tea"}, content_type="application/json")
    assert again.status_code == 202
    assert ai_judge_runs.work_next()
    assert AIJudgeRun.objects.latest("pk").error == ai_judge_runs.NOTHING_TO_TAKE_OVER
    # Only where a snapshot asks for it does the file have what nobody but the judge has judged.
    train = [task.pk for task in tea if task.prompt.split == "train" and task.pk in taken]
    asked = {"judge": version.pk, "judge_weight": 0.5}
    alice.post("/api/v1/projects/letters/snapshots/", {"filter": asked}, content_type="application/json")
    rows = list(map(json.loads, project.snapshots.newest().path.read_text("utf-8").splitlines()))
    machine = [row["group_id"] for row in rows if row["group_id"] in taken]
    assert sorted(machine) == sorted(train)
    assert {row["weight"] for row in rows if row["group_id"] in taken} == {0.5}
    unasked = snapshots.take_snapshot(project=project, by=admin)
    assert unasked.rows == 120


@pytest.mark.slow
def test_a_judge_that_is_reliable_on_the_whole_takes_over_nothing_where_it_may_be_worse(judge, admin, judged_by_people):
    """On tea two people differ on a third of the pairs. On wine it is wrong on a tenth, where people agree."""
    for number in range(60):
        judged_by_people(BETTER_SECOND, BETTER_SECOND if number % 3 else BETTER_FIRST, category="tea")
        wrong = {"text": f"habit:long wine {number}", "qualities": (11, 2)} if number % 10 == 0 else {}
        judged_by_people(BETTER_SECOND, BETTER_SECOND, category="wine", **wrong)
    version = judge.versions.get()
    work(version, admin, pairs=200)
    reliable = {row.value: row.trust.may for row in rows_of(calibration(version))}
    assert reliable == {"": True, "tea": True, "wine": False}
    tea, wine = ([judged_by_people(category=name) for _ in range(40)] for name in ("tea", "wine"))
    everything = {"dimension": "", "value": "", "audit_share": 0.5, "pairs": 500}
    run = ai_judges.take_over(version=version, by=admin, **everything)
    assert ai_judge_runs.work_next()
    taken = set(run.judgments.values_list("task_id", flat=True))
    assert taken
    assert taken <= {task.pk for task in tea}
    assert not taken & {task.pk for task in wine}


def test_a_judge_that_gets_worse_loses_what_it_took_over(
    alice, rita, project, judge, admin, server, people, judged_by_people
):
    """It is like people until its server turns round; then it is wrong on all that people judge of the audit share."""
    for number in range(60):
        judged_by_people(BETTER_SECOND, BETTER_SECOND, category="tea" if number < 58 else "wine")
    version, now = judge.versions.get(), timezone.now()
    work(version, admin)
    Assignment.objects.update(finished_at=now - timedelta(days=1))
    share = AIJudgeRun(version=version, audit_share=0.5)
    audited: list[Task] = []
    while len(audited) < 49 or Task.objects.count() < 60 + len(audited) + 2:
        task = judged_by_people(category="tea")
        audited += [task] * is_audited(share, task.pk)
    slice_of = {"dimension": "category", "value": "tea"}
    run = ai_judges.take_over(version=version, pairs=500, audit_share=0.5, by=admin, **slice_of)
    takeover = AIJudgeRun.objects.filter(pk=run.pk)
    assert ai_judge_runs.work_next()
    assert takeover.get().status == "done"
    assert not AIJudgment.objects.filter(task__in=audited).exists()
    takeover.update(created_at=now - timedelta(hours=2))

    def let_people_judge(tasks: list[Task]) -> None:
        for task in tasks:
            say(task, people[0], [[pk] for pk in sorted(task.candidates.values_list("pk", flat=True), reverse=True)])

    def look() -> AIJudgeRun:
        takeover.update(audited_at=None)
        while ai_judge_runs.work_next():
            pass
        return takeover.get()

    let_people_judge(audited[:9])  # too few to ask about
    assert (look().audit["value"], run.audits.count()) == (None, 0)
    let_people_judge(audited[9:24])
    server.set_status(401)
    assert (look().audit["value"], run.audits.get().status) == (None, "failed")
    server.set_status(200)
    look()
    assert run.audits.count() == 1  # the one that failed waits for an admin
    resumed(run.audits.get(), admin)
    good = look()
    assert [good.audit[name] for name in ("value", "low", "high", "n")] == [0.0, 0.0, 0.0, 24]
    assert (good.taken_back_at, run.audits.get().judgments.count()) == (None, 24)
    assert not ai_judge_runs.work_next()  # it is not due again
    page = alice.get(judge.get_absolute_url()).content.decode()
    assert 0 < page.index("Audit of a takeover") < page.index("Audit share, less people")  # the newest run first
    assert "dimension=category&amp;value=tea#take-over" in page

    server.turn()
    let_people_judge(audited[24:48])
    takeover.update(audited_at=None)
    assert ai_judge_runs.work_next()  # starts the audit
    assert ai_judge_runs.work_next()  # asks
    waiting = AIJudgeRun.objects.create(version=version, most_pairs=5, takeover=True, audit_share=0.5, **slice_of)
    assert ai_judge_audits.audit_next()  # ends the takeover
    ended = takeover.get()
    assert (ended.audit["value"], ended.audit["n"], bool(ended.taken_back_at)) == (-0.5, 48, True)
    assert ended.audit["high"] < -0.05
    waiting.refresh_from_db()
    assert (waiting.status, bool(waiting.taken_back_at)) == ("cancelled", True)
    with pytest.raises(NotPossible, match="ended"):
        ai_judges.resume(run=waiting, by=admin)
    event = AuditEvent.objects.filter(action="ai-judge-taken-back").get()
    assert (event.what, event.actor_id, event.detail["value"], event.detail["prompts"]) == ("Small v1", None, "tea", 48)
    told = Notification.objects.get()
    assert (told.user, told.url) == (admin, judge.get_absolute_url())
    assert told.text == ("AI judge Small v1 is worse than people in the audit share: its takeover of “tea” has ended")
    page = alice.get(judge.get_absolute_url()).content.decode()
    assert "Ended by itself on" in page
    assert "value=tea#take-over" not in page
    address = f"/api/v1/projects/letters/judges/{judge.pk}/"
    rows = alice.get(f"{address}versions/1/calibration/").json()["slices"]
    assert {row["value"]: row["reason"] for row in rows}["tea"] == TAKEN_BACK
    body = {"pairs": 5, "audit_share": 0.5, **slice_of}
    answer = alice.post(f"{address}versions/1/take-over/", body, content_type="application/json")
    assert (answer.status_code, "ended: worse than people" in answer.json()["detail"]) == (409, True)
    assert alice.get(f"{address}runs/{run.pk}/").json()["audit"]["value"] == -0.5
    assert not ai_judge_runs.work_next()
    # It goes no way round, through a takeover of all pairs: none of tea are among them.
    AIJudgeRun.objects.create(version=version, most_pairs=500, takeover=True, audit_share=0.01)
    assert ai_judge_runs.work_next()
    assert AIJudgeRun.objects.latest("pk").error == ai_judge_runs.NOTHING_TO_TAKE_OVER
