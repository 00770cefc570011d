"""What is made of a job's files and of its engine's words, without an engine; the clock is the test's own."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from django.utils import translation

from annotation.models import Preferences
from annotation.stored import translated
from training.actions import runs
from training.actions.rounds import start_round
from training.executors.base import Executor, Job, Phase, State
from training.executors.local import LocalExecutor
from training.jobdir import BY_ENGINE, JOB_CLOSED, STOPPED, TIME_LIMIT
from training.rundir import NO_SPACE, RunDir
from training.worker import jobs
from training.worker.jobs import Ended, Watch


class Clock:
    """Time as the watch sees it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Saying(Executor):
    """An engine that says what the test wants."""

    name, label = "saying", "Engine"
    said = State(Phase.RUNNING)

    def poll(self, job: Job) -> State:
        return self.said


@pytest.fixture
def clock(monkeypatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(jobs, "time", found)
    return found


@pytest.fixture
def job(tmp_path: Path) -> Job:
    made = Job("7", "s", "ppo", RunDir(tmp_path))
    made.folder.prepare({"command": ["true"], "environment": {"A_KEY": "sesame"}})
    return made


def test_a_job_has_minutes_to_give_its_first_sign_of_life(clock, job):
    """Nodes fetch images for minutes, while their engine says that the job runs. Once it lives, a minute is long."""
    watch = Watch(Saying(), job)
    assert watch.look() is None
    clock.now += 899
    assert watch.look() is None
    clock.now += 2
    lost = watch.look()
    assert "never reported that it had begun" in lost.why
    assert (lost.code, lost.is_over) == (-9, False)
    job.folder.write("beat.json", {"beat": 1})
    assert watch.look() is None
    clock.now += 61
    assert "inactive for 61 s" in watch.look().why


def test_a_suspended_job_is_waited_for(clock, job):
    """An engine stops the processes of a job for another one: they give no sign of life, and go on later."""
    watch = Watch(Saying(), job)
    job.folder.write("beat.json", {"beat": 7})
    assert (watch.look(), watch.waits_for) == (None, "")
    watch.executor.said = State(Phase.WAITING, why="it is suspended")
    for _ in range(10):
        clock.now += 50
        assert (watch.look(), watch.waits_for) == (None, "Waiting in Engine: it is suspended")
    watch.executor.said = State(Phase.RUNNING)
    clock.now += 59
    assert (watch.look(), watch.waits_for) == (None, "")
    clock.now += 2
    assert "inactive for 61 s" in watch.look().why


@pytest.mark.parametrize(
    ("written", "ended"),
    [
        ({"code": 0}, Ended(0)),
        ({"code": 3}, Ended(3)),
        ({"code": 3, "why": STOPPED}, Ended(-15, STOPPED)),
        ({"code": 143, "why": TIME_LIMIT}, Ended(-15, TIME_LIMIT, interrupted=True)),
        ({"code": NO_SPACE, "why": STOPPED}, Ended(NO_SPACE, STOPPED)),
        ({"code": 1, "why": "Could not start python: no such file"}, Ended(1, "Could not start python: no such file")),
        ({"code": 0, "why": BY_ENGINE}, Ended(0, BY_ENGINE)),
        ({"code": 137}, Ended(-9, "Engine says that it ended: it used more memory than it had asked for.")),
        ({"code": -9}, Ended(-9, "Engine says that it ended: it used more memory than it had asked for.")),
        ({"code": 129}, Ended(129)),
    ],
    ids=str,
)
def test_how_a_job_says_that_it_ended(clock, job, written, ended):
    """128 + n is how shells, launchers and containers write signal n; one that was asked to end has not failed."""
    executor = Saying()
    executor.said = State(Phase.ENDED, why="it used more memory than it had asked for")
    job.folder.write("exit.json", written)
    assert Watch(executor, job).look() == ended


@pytest.mark.parametrize(
    ("said", "code", "interrupted"),
    [
        (State(Phase.ENDED, 3), 3, False),
        (State(Phase.ENDED, 0), 0, False),
        (State(Phase.ENDED, 143), -signal.SIGTERM, False),
        (State(Phase.ENDED, 137), -signal.SIGKILL, False),
        (State(Phase.ENDED, 1, "it gave way", interrupted=True), -signal.SIGKILL, True),
        (State(Phase.ENDED, JOB_CLOSED), -signal.SIGKILL, False),
        (State(Phase.GONE), -signal.SIGKILL, False),
    ],
    ids=str,
)
def test_how_an_engine_alone_says_that_a_job_ended(clock, job, said, code, interrupted):
    executor = Saying()
    executor.said = said
    watch = Watch(executor, job)
    assert watch.look() is None
    clock.now += 6
    ended = watch.look()
    assert (ended.code, ended.interrupted, ended.is_over) == (code, interrupted, True)


def test_keys_are_in_a_job_folder_until_the_job_has_begun_or_never_will(job):
    written = job.folder.path / "job.json"
    assert written.stat().st_mode & 0o777 == 0o600
    assert job.folder.take()
    job.folder.forget_keys()
    assert job.folder.job() == {"command": ["true"]}
    job.folder.prepare({"command": ["true"], "environment": {"A_KEY": "sesame"}})  # submitted twice
    later = Job("7", "later", "ppo", job.directory)
    later.folder.prepare({"command": ["true"], "environment": {"A_KEY": "sesame"}})
    later.folder.ask_to_stop()
    kept = [path for path in job.directory.path.rglob("job.*") if "sesame" in path.read_text()]
    assert kept == []
    assert json.loads(written.read_text()) == later.folder.job()
    assert written.stat().st_mode & 0o777 == 0o600


DRAINED = "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions"


@pytest.mark.django_db
@pytest.mark.database
def test_why_a_job_waits_is_whole_and_in_the_language_of_the_reader(
    clock, job, project, policy, make_prompt, as_user, admin
):
    executor = Saying()
    executor.said = State(Phase.WAITING, why=DRAINED)
    watch = Watch(executor, job)
    assert watch.look() is None
    assert watch.waits_for == f"Waiting in Engine: {DRAINED}"
    Preferences.objects.create(user=admin, language="zh-hans")
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    run = runs.claim_run()
    runs.heartbeat(run=run, progress=None, phase=watch.waits_for)
    lin = as_user(admin)
    for is_running in (True, False):
        with translation.override(None):  # a page leaves its language to the thread
            page = lin.get("/projects/letters/rounds/1/").content.decode()
        assert f"正在 Engine 中排队：{DRAINED}" in page, is_running
        runs.put_back(run=run, phase=watch.waits_for)
    runs.put_back(run=runs.claim_run(), phase="x" * 400)
    assert project.rounds.get().runs.get().phase == "x" * 300


@pytest.mark.parametrize("said", [State(Phase.UNKNOWN), State(Phase.UNKNOWN, why="connection refused")], ids=str)
def test_that_an_engine_does_not_answer_is_told_in_the_language_of_the_reader(clock, job, said):
    executor = LocalExecutor()  # whose name is translated: rows have it in English, whatever the thread's language
    with translation.override("zh-hans"):
        sentence = jobs.does_not_answer(executor, said)
        assert sentence.startswith("This machine does not answer")
        assert translated(sentence).startswith("This machine 无响应")
        assert translated(sentence).endswith(said.why)
