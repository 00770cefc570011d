"""A round that somebody pauses and resumes, and one that failed and is tried again: by HTTP, with real processes."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F

from training.actions.rounds import start_round
from training.actions.runs import claim_run, put_back
from training.models import RunStatus, TrainingRound, TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.database]
PAGE, API = "/projects/letters/rounds/1/", "/api/v1/projects/letters/rounds/1/"

# Counts its starts, and stays at work until a file says that it may end.
SLOW = """
starts = run.path / "starts"
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
while not (run.path / "may-end").exists():
    time.sleep(0.05)
run.finish({"completions": 0})
"""
FAILS_ONCE = """
if not (run.path / "mended").exists():
    sys.exit("the disk is full")
run.checkpoint_path.mkdir()
run.finish({"accuracy": 0.7})
"""


def states(round: TrainingRound) -> list[str]:
    round.refresh_from_db()
    return [round.status, *(run.status for run in round.runs.all())]


def wait_for(what) -> None:
    for _ in range(400):
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("It did not happen within 20 seconds.")


@pytest.fixture
def at_work(make_worker):
    """A worker in a thread of its own, until the test is over."""
    worker = make_worker(sample=SLOW)

    def work() -> None:
        worker.run_forever()
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield worker
    worker.stop()
    thread.join(30)


@pytest.mark.django_db(transaction=True)
def test_a_paused_round_ends_its_process_and_goes_on_later(project, policy, make_prompt, at_work, admin, as_user):
    make_prompt()
    client = as_user(admin)
    round = start_round(project=project, methods=["sample"], by=None)
    run = round.runs.get()
    starts = run.directory.path / "starts"
    wait_for(starts.exists)
    page = client.post(f"{PAGE}pause/", follow=True).content.decode()
    assert "Round 1 is paused." in page
    wait_for(lambda: states(round) == ["paused", "queued"])
    assert round.reason == "Paused by alice."
    assert "Resume" in client.get(PAGE).content.decode()
    time.sleep(0.5)
    assert starts.read_text() == "x"  # nobody takes it up meanwhile

    assert client.post(f"{API}resume/").json()["status"] == "running"
    wait_for(lambda: starts.read_text() == "xx")
    (run.directory.path / "may-end").touch()
    wait_for(lambda: states(round) == ["succeeded", "succeeded"])
    run.refresh_from_db()
    assert run.attempt == 1  # a pause is no failed attempt


def test_what_a_run_waited_is_no_time_of_its_work(project, policy, make_prompt, make_worker, admin):
    make_prompt()
    run = start_round(project=project, methods=["sample"], by=None).runs.get()
    assert claim_run() == run
    began = TrainingRun.objects.get(pk=run.pk).started_at
    TrainingRun.objects.update(started_at=began - timedelta(seconds=30))  # it worked for half a minute
    put_back(run=TrainingRun.objects.get(pk=run.pk))
    TrainingRun.objects.update(  # and was taken up the next day
        started_at=F("started_at") - timedelta(days=1), heartbeat_at=F("heartbeat_at") - timedelta(days=1)
    )
    make_worker().run_until_idle()
    run.refresh_from_db()
    assert 30 <= (run.finished_at - run.started_at).total_seconds() < 60


def test_a_round_that_waits_in_the_queue_can_be_paused_too(project, policy, make_prompt, make_worker, admin, as_user):
    make_prompt()
    round = start_round(project=project, methods=["sample"], by=None)
    as_user(admin).post(f"{PAGE}pause/")
    make_worker().run_until_idle()
    assert states(round) == ["paused", "queued"]
    another = start_round(project=project, methods=["sample"], by=None)  # the project may do other things meanwhile
    refused = as_user(admin).post(f"{API}resume/")
    assert refused.status_code == 409
    assert "Another round is active" in refused.json()["detail"]
    make_worker().run_until_idle()
    assert states(another) == ["succeeded", "succeeded"]
    as_user(admin).post(f"{PAGE}resume/")
    make_worker().run_until_idle()
    assert states(round) == ["succeeded", "succeeded"]


def test_what_is_not_running_cannot_be_paused_nor_resumed(project, policy, make_prompt, make_worker, admin, as_user):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    make_worker().run_until_idle()
    client = as_user(admin)
    assert "cannot be paused" in client.post(f"{API}pause/").json()["detail"]
    assert "not paused" in client.post(f"{API}resume/").json()["detail"]
    assert "Only a failed round" in client.post(f"{API}retry/").json()["detail"]


def test_a_failed_round_is_tried_again_from_the_stage_that_failed(
    project, policy, ranked_task, make_worker, admin, as_user
):
    round = start_round(project=project, methods=["sample", "reward", "ppo"], by=None)
    make_worker(reward=FAILS_ONCE).run_until_idle()
    assert states(round) == ["failed", "succeeded", "failed", "cancelled"]
    reward = round.runs.get(method="reward")
    assert "the disk is full" in reward.error
    assert "Retry" in as_user(admin).get(PAGE).content.decode()

    (reward.directory.path / "mended").touch()
    page = as_user(admin).post(f"{PAGE}retry/", follow=True).content.decode()
    assert "Round 1 is retried from where it failed." in page
    assert states(round) == ["running", "succeeded", "queued", "queued"]
    make_worker(reward=FAILS_ONCE).run_until_idle()
    assert states(round) == ["succeeded"] * 4
    reward.refresh_from_db()
    assert (reward.error, reward.attempt) == ("", 2)


def test_trying_again_gives_all_attempts_again(project, policy, make_prompt, make_worker, admin, as_user, settings):
    make_prompt()
    killed = "os.kill(os.getpid(), signal.SIGKILL)"
    round = start_round(project=project, methods=["sample"], by=None)
    make_worker(sample=killed).run_until_idle()
    run = round.runs.get()
    assert (run.status, run.attempt) == (RunStatus.FAILED, settings.TRAINING_MAX_ATTEMPTS)
    as_user(admin).post(f"{PAGE}retry/")
    make_worker(sample=killed).run_until_idle()
    run.refresh_from_db()
    assert (run.status, run.attempt) == (RunStatus.FAILED, 2 * settings.TRAINING_MAX_ATTEMPTS)


@pytest.mark.django_db(transaction=True)
def test_the_alarm_pauses_what_samples_until_it_is_settled(
    project, policy, make_prompt, at_work, admin, annotator, as_user
):
    make_prompt()
    round = start_round(project=project, methods=["sample"], by=None)
    wait_for((round.runs.get().directory.path / "starts").exists)
    as_user(annotator).post("/projects/letters/alarm/", {"note": "Only hearts."})
    wait_for(lambda: states(round) == ["paused", "queued"])
    page = as_user(admin).get(PAGE).content.decode()
    assert "reported a model problem: Only hearts." in page
    page = as_user(admin).post(f"{PAGE}resume/", follow=True).content.decode()
    assert "Resolve it on the project’s page first" in page
    as_user(admin).post(f"/projects/letters/alarm/{project.alarms.get().pk}/settle/")
    (round.runs.get().directory.path / "may-end").touch()
    as_user(admin).post(f"{PAGE}resume/")
    wait_for(lambda: states(round) == ["succeeded", "succeeded"])


def test_no_round_that_samples_starts_during_an_alarm(project, policy, make_prompt, admin, annotator, as_user):
    make_prompt()
    as_user(annotator).post("/projects/letters/alarm/", {"note": "Only hearts."})
    page = as_user(admin).post("/projects/letters/rounds/new/", {"plan": "sample"}).content.decode()
    assert "A model problem is reported" in page
    assert not project.rounds.exists()
