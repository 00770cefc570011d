"""The life of runs and rounds, with real processes. What recipes compute is tests/recipes' subject."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from annotation.errors import NotPossible
from annotation.models import Completion, PolicyVersion, Task
from training.actions import runs
from training.actions.rounds import cancel_round, start_round
from training.models import Metric, RunStatus, TrainingRound, TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.database]

HANGS = 'run.report_progress(1, 9, "updates")\ntime.sleep(60)\n'


def wait_for(condition, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def in_thread(worker) -> threading.Thread:
    def work() -> None:
        try:
            worker.run_forever()
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def the_run() -> TrainingRun:
    return TrainingRun.objects.select_related("round__project").get()


def test_the_whole_circle(project, policy, ranked_task, make_worker, admin):
    """Snapshot, reward model, PPO, new policy, its answers, and tasks over them."""
    round = start_round(project=project, methods=["reward", "ppo", "sample"], by=admin)
    make_worker().run_until_idle()
    round.refresh_from_db()
    assert round.status == RunStatus.SUCCEEDED
    assert [run.status for run in round.runs.all()] == [RunStatus.SUCCEEDED] * 3
    made = round.runs.get(method="ppo").policy
    assert (made.number, made.parent) == (1, policy)
    answers = Completion.objects.filter(policy=made)
    assert answers.count() == 4 * project.prompts.count()
    assert set(answers.values_list("finished", flat=True)) == {True, False}
    assert answers.first().sampling["temperature"] == 0.9
    opened = Task.objects.filter(origin=f"run-{round.runs.get(method='sample').pk}", kind="ranking")
    assert opened.count() == project.prompts.count()
    kl = Metric.objects.filter(name="objective/kl").order_by("step").values_list("step", "value")
    assert list(kl) == [(1, 0.5), (2, 1.0)]


def test_each_run_finds_what_it_starts_from(project, policy, ranked_task, make_worker):
    """A run goes on from what an earlier one made. Fake recipes write whole weights: each is its own reference."""
    start_round(project=project, methods=["reward", "sft", "ppo", "sample"], by=None)
    make_worker().run_until_idle()
    start_round(project=project, methods=["reward", "dpo"], by=None)
    make_worker().run_until_idle()
    first, second = TrainingRound.objects.order_by("number")
    reward, sft, ppo, sample = first.runs.all()
    later_reward, dpo = second.runs.all()
    checkpoint = {run: str(run.directory.checkpoint_path) for run in (reward, sft, ppo, later_reward)}
    inputs = [run.directory.config()["inputs"] for run in (reward, sft, ppo, sample, later_reward, dpo)]
    assert inputs == [
        {"policy": "/models/base", "versions": {"policy": 0}, "base_model": "/models/base"},
        {"policy": "/models/base", "versions": {"policy": 0, "reference": 0}, "reward_model": checkpoint[reward]},
        {"policy": checkpoint[sft], "versions": {"policy": 1, "reference": 1}, "reward_model": checkpoint[reward]},
        {"policy": checkpoint[ppo], "versions": {"policy": 2}},
        {
            "policy": checkpoint[ppo],
            "versions": {"policy": 2},
            "base_model": "/models/base",
            "previous": checkpoint[reward],
        },
        {
            "policy": checkpoint[ppo],
            "versions": {"policy": 2, "reference": 2},
            "reward_model": checkpoint[later_reward],
        },
    ]
    assert [run.policy.parent.number for run in (sft, ppo, dpo)] == [0, 1, 2]


def test_what_a_server_answered_is_no_policys(project, policy, make_prompt, make_worker, monkeypatch):
    monkeypatch.setenv("PREFLOOP_SERVERS", "http://localhost:8000/v1")
    make_prompt()
    server = {"sample": {"server": "http://localhost:8000/v1", "server_model": "some-model"}}
    start_round(project=project, methods=["sample"], settings=server, by=None)
    make_worker().run_until_idle()
    assert set(Completion.objects.values_list("source", "policy")) == {("imported", None)}
    assert Completion.objects.first().sampling["server_model"] == "some-model"
    assert Task.objects.filter(kind="ranking").count() == 1


def test_settling_twice_changes_nothing(project, policy, make_prompt, make_worker):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    make_worker().run_until_idle()
    run = the_run()
    with pytest.raises(runs.InvalidTransition):
        runs.settle_run(run=run, exit_code=0)
    assert Completion.objects.count() == 4


def test_a_recipe_that_fails_fails_its_round_with_the_reason(project, policy, ranked_task, make_worker):
    start_round(project=project, methods=["reward", "ppo", "sample"], by=None)
    make_worker(reward="sys.exit('the data is empty')").run_until_idle()
    round = TrainingRound.objects.get()
    assert (round.status, round.reason) == (RunStatus.FAILED, "Reward model failed.")
    reward, ppo, sample = round.runs.all()
    assert "exit code 1" in reward.error
    assert "the data is empty" in reward.error
    assert [ppo.status, sample.status] == [RunStatus.CANCELLED, RunStatus.CANCELLED]
    assert PolicyVersion.objects.count() == 1


def test_exit_code_0_without_a_result_is_no_success(project, policy, make_prompt, make_worker):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    make_worker(sample="pass").run_until_idle()
    assert the_run().status == RunStatus.FAILED


def test_a_killed_recipe_is_tried_again_and_goes_on_from_its_state(project, policy, make_prompt, make_worker):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    dies_once = (
        "if run.load_state() is None:\n"
        "    run.save_state(lambda folder: (folder / 'step').write_text('1'))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "assert (run.load_state() / 'step').read_text() == '1'\n"
    )
    from tests.training.conftest import SAMPLE

    make_worker(sample=dies_once + SAMPLE).run_until_idle()
    run = the_run()
    assert (run.status, run.attempt) == (RunStatus.SUCCEEDED, 2)


def test_after_three_attempts_it_fails_and_says_how(project, policy, make_prompt, make_worker):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    make_worker(sample="os.kill(os.getpid(), signal.SIGKILL)").run_until_idle()
    run = the_run()
    assert (run.status, run.attempt) == (RunStatus.FAILED, 3)
    assert "killed by signal 9" in run.error


@pytest.mark.django_db(transaction=True)
def test_cancel_ends_the_process(project, policy, make_prompt, make_worker, admin):
    make_prompt()
    round = start_round(project=project, methods=["sample"], by=admin)
    worker = make_worker(sample=HANGS)
    thread = in_thread(worker)
    wait_for(lambda: the_run().progress_total == 9)
    pid = int((the_run().directory.path / "pid").read_text())
    cancel_round(round=round, by=admin)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))
    worker.stop()
    thread.join(10)
    round.refresh_from_db()
    assert (round.status, round.reason) == (RunStatus.CANCELLED, "Cancelled by alice.")
    assert the_run().status == RunStatus.CANCELLED
    with pytest.raises(NotPossible, match="already over"):
        cancel_round(round=round, by=admin)


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_stopped_puts_its_run_back(project, policy, make_prompt, make_worker):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    worker = make_worker(sample=HANGS)
    thread = in_thread(worker)
    wait_for(lambda: the_run().progress_total == 9)
    worker.stop()
    thread.join(15)
    run = the_run()
    assert (run.status, run.attempt) == (RunStatus.QUEUED, 0)
    make_worker().run_until_idle()
    assert the_run().status == RunStatus.SUCCEEDED


def test_a_run_whose_worker_died_is_taken_over(project, policy, make_prompt, make_worker):
    """The dead worker's process may still be alive: it is ended before the next attempt starts."""
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    dead = make_worker(sample=HANGS)
    run = runs.claim_run()
    run.directory.prepare(config={"settings": {}}, rows=[])
    orphan = dead.executor.start("sample", run.directory)
    TrainingRun.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    run.directory.config_path.unlink()
    make_worker().run_until_idle()
    assert orphan.process.wait(10) == -signal.SIGKILL
    taken_over = the_run()
    assert (taken_over.status, taken_over.attempt) == (RunStatus.SUCCEEDED, 2)
    with pytest.raises(runs.InvalidTransition):
        runs.heartbeat(run=run, progress=None)  # the dead worker wakes up: the run is no longer its own


def test_a_fresh_heartbeat_is_left_alone(project, policy, make_prompt):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    assert runs.claim_run() is not None
    assert runs.reclaim_lost_runs() == 0
    assert runs.claim_run() is None


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_take_the_same_run(project, policy, make_prompt):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    taken, start = [], threading.Barrier(6)

    def claim() -> None:
        try:
            start.wait(10)
            taken.append(runs.claim_run())
        finally:
            connection.close()

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(taken) == 6
    assert len([run for run in taken if run]) == 1


def test_one_active_round_per_project(project, policy, make_prompt):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    with pytest.raises(NotPossible, match="A round is active"):
        start_round(project=project, methods=["sample"], by=None)
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRound.objects.create(project=project, number=99)


@pytest.mark.parametrize(
    "values", [{"status": RunStatus.SUCCEEDED}, {"status": RunStatus.QUEUED, "finished_at": timezone.now()}]
)
def test_final_and_finished_go_together(project, values):
    with pytest.raises(IntegrityError), transaction.atomic():
        TrainingRound.objects.create(project=project, number=1, **values)
