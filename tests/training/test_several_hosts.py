"""Runs where hosts, clocks, database and folders fail: real processes, and PostgreSQL where a fault needs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from annotation import clock
from annotation.actions import queue
from annotation.models import Completion
from training.actions import runs
from training.actions.rounds import start_round
from training.models import Metric, RunStatus, TrainingRound, TrainingRun
from training.products.completions import PRODUCT as COMPLETIONS
from training.rundir import RunDir, TakenOver
from training.worker.loop import config_for, rows_for

from .conftest import SAMPLE

pytestmark = [pytest.mark.django_db, pytest.mark.database]
WAITS = "while not (run.path / 'go').exists():\n    time.sleep(0.02)\n"


def needs_postgres() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no server whose connections end and no clock of its own")


def wait_for(condition, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def the_run() -> TrainingRun:
    return TrainingRun.objects.select_related("round__project").get()


def work_in_thread(worker) -> threading.Thread:
    def work() -> None:
        try:
            worker.run_until_idle()
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_new_database_on_an_old_home_takes_nothing_from_the_runs_there(
    project, policy, make_prompt, make_worker, settings
):
    """The way from the demo to PostgreSQL goes there: run 1 of the new database meets the finished run 1 of the old."""
    prompt = make_prompt()
    start_round(project=project, methods=["sample"], settings={"sample": {"completions_per_prompt": 2}}, by=None)
    folders = [Path(settings.RUN_DIR) / name for name in (str(the_run().pk), f"{the_run().pk}-0123456789")]
    for folder in folders:
        old = RunDir(folder)
        old.prepare(config={"settings": {"completions_per_prompt": 4}}, rows=[{"prompt_id": prompt.pk}])
        for index in range(4):
            old.log_sample({"step": 0, "prompt_id": prompt.pk, "index": index, "text": f"old {index}", "tokens": 1})
        old.finish({"completions": 4})
    make_worker().run_until_idle()
    assert the_run().status == RunStatus.SUCCEEDED
    assert sorted(Completion.objects.values_list("text", flat=True)) == ["answer 0", "answer 1"]
    assert all(len(list(RunDir(folder).samples())) == 4 for folder in folders)  # the old database may come back


def test_folders_of_earlier_runs_keep_their_names(project, settings):
    round = TrainingRound.objects.create(project=project, number=1)
    run = TrainingRun.objects.create(round=round, position=0, method="sample", key="")
    assert run.directory.path == Path(settings.RUN_DIR) / str(run.pk)


@pytest.mark.django_db(transaction=True)
def test_connections_that_end_do_not_end_the_training(project, policy, make_prompt, make_worker):
    """A failover of PostgreSQL, or its update, ends every connection."""
    needs_postgres()
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    thread = work_in_thread(make_worker(sample="run.log_metrics(1, before=1.0)\n" + WAITS + SAMPLE))
    for _ in range(3):
        wait_for(lambda: Metric.objects.filter(name="before").exists())
        time.sleep(0.3)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert cursor.fetchall()
    (the_run().directory.path / "go").touch()
    thread.join(20)
    assert (the_run().status, the_run().attempt) == (RunStatus.SUCCEEDED, 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fails", ["save_metrics", "heartbeat", "settle_run"])
def test_a_database_that_is_away_for_a_while_is_waited_for(
    project, policy, make_prompt, make_worker, monkeypatch, fails
):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    store, failed = getattr(runs, fails), []

    def away(**given):
        if len(failed) < 4:
            failed.append(fails)
            raise OperationalError("the server closed the connection unexpectedly")
        (the_run().directory.path / "go").touch()
        return store(**given)

    monkeypatch.setattr(runs, fails, away)
    begin = "" if fails == "settle_run" else WAITS
    worker = make_worker(sample="run.log_metrics(1, before=1.0)\n" + begin + SAMPLE)
    worker.run_until_idle()
    assert len(failed) == 4
    assert (the_run().status, the_run().attempt) == (RunStatus.SUCCEEDED, 1)
    assert Metric.objects.get(name="before").value == 1.0
    assert worker.reclaims_from > time.monotonic()  # others had no chance to beat either


def test_what_a_model_writes_is_stored_without_characters_that_a_database_refuses(
    project, policy, make_prompt, make_worker
):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    script = SAMPLE.replace('f"answer {index}"', 'f"an\\0swer {index}"').replace(
        '{"completions":', '{"re\\0mark": "a\\0b", "completions":'
    )
    make_worker(sample=script).run_until_idle()
    run = the_run()
    assert run.status == RunStatus.SUCCEEDED, run.error
    assert sorted(Completion.objects.values_list("text", flat=True)) == [f"answer {index}" for index in range(4)]
    assert run.result["remark"] == "ab"


def test_a_log_with_such_characters_is_stored_as_the_reason(project, policy, make_prompt, make_worker):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    make_worker(sample="print('a\\0b', flush=True)\nsys.exit(1)").run_until_idle()
    assert (the_run().status, the_run().error.splitlines()[-1]) == (RunStatus.FAILED, "ab")


def test_an_exception_while_a_run_is_settled_is_its_reason(project, policy, make_prompt, make_worker, monkeypatch):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)

    def fails(run):
        raise ValueError("row 3 names prompt 9, which is not in the project")

    monkeypatch.setattr(COMPLETIONS, "settle", fails)
    make_worker().run_until_idle()
    run = the_run()
    assert (run.status, run.attempt) == (RunStatus.FAILED, 1)
    assert "ValueError: row 3 names prompt 9, which is not in the project" in run.error
    assert run.round.status == RunStatus.FAILED
    monkeypatch.undo()


def test_the_recipe_of_a_frozen_host_writes_nothing_once_another_took_its_run(
    project, policy, make_prompt, make_worker
):
    """On the other host nobody can end its process: no process id there is that of the recipe."""
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    writes = (
        "run.save_state(lambda folder: (folder / 'by').write_text('first'))\n"
        "while True:\n    run.log_sample({'step': 0, 'text': 'of the first'})\n    time.sleep(0.01)\n"
    )
    first = make_worker(sample=writes)
    run = runs.claim_run()
    run.directory.prepare(config=config_for(run), rows=rows_for(run))
    run.directory.admit(run.submission)
    orphan = first.executor.start("sample", run.directory)
    try:
        wait_for(lambda: len(list(run.directory.samples())) > 5)
        TrainingRun.objects.update(heartbeat_at=clock.now() - timedelta(minutes=5))
        (run.directory.path / "pid").unlink()
        goes_on = "assert (run.load_state() / 'by').read_text() == 'first'\nrun.rewind(-1)\n" + WAITS + SAMPLE
        thread_free = make_worker(sample="(run.path / 'go').touch()\n" + goes_on)
        thread_free.run_until_idle()
        assert orphan.process.wait(20) == 1  # the script, unlike a recipe, does not say why
        assert "TakenOver" in run.directory.log_tail()
    finally:
        orphan.stop()
    taken_over = the_run()
    assert (taken_over.status, taken_over.attempt) == (RunStatus.SUCCEEDED, 2)
    assert {row["text"] for row in run.directory.samples()} == {f"answer {index}" for index in range(4)}
    with pytest.raises(runs.InvalidTransition):
        runs.heartbeat(run=run, progress=None)


@pytest.mark.parametrize(
    "write",
    [
        lambda run: run.log_metrics(1, kl=1.0),
        lambda run: run.log_sample({"text": "late"}),
        lambda run: run.report_progress(1, 2, "steps"),
        lambda run: run.save_state(lambda folder: (folder / "late").touch()),
        lambda run: run.rewind(0),
        lambda run: run.end("late"),
        lambda run: run.finish({"late": True}),
    ],
)
def test_each_kind_of_write_is_refused_to_an_earlier_attempt(tmp_path, monkeypatch, write):
    monkeypatch.setenv("PREFLOOP_SUBMISSION", "first")
    run = RunDir(tmp_path / "run")
    run.prepare(config={}, rows=[])
    run.admit("first")
    run.log_metrics(1, kl=0.5)
    run.admit("second")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with pytest.raises(TakenOver, match="attempt second writes into"):
        write(run)
    after = {
        path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and ".first.tmp" not in str(path)
    }
    assert after == before


@pytest.fixture
def clock_ahead(monkeypatch):
    """This host's clock is 90 minutes ahead of the database's."""
    needs_postgres()
    now = timezone.now
    monkeypatch.setattr("django.utils.timezone.now", lambda: now() + timedelta(minutes=90))


def test_a_worker_whose_clock_is_ahead_takes_no_run(project, policy, make_prompt, clock_ahead):
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    run = runs.claim_run()
    assert abs(run.heartbeat_at - (timezone.now() - timedelta(minutes=90))) < timedelta(seconds=30)
    assert runs.reclaim_lost_runs() == 0


def test_a_server_whose_clock_is_ahead_lets_no_assignment_lapse(project, open_ranking_task, annotator, admin, request):
    task = open_ranking_task(["a", "b"])
    held = queue.claim_next(project=project, by=annotator)
    request.getfixturevalue("clock_ahead")
    assert queue.claim_next(project=project, by=admin) != held
    held.refresh_from_db()
    assert (held.status, held.annotator) == ("held", annotator)
    assert task.assignments.filter(status="lapsed").count() == 0


STARTS_A_LAUNCHER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], *sys.argv[2:]])
time.sleep(60)
"""
LAUNCHER = """
import os, subprocess, sys, time
from training.rundir import process_sign
os.environ["PREFLOOP_WORKER"] = process_sign(os.getppid())
subprocess.Popen([sys.executable, "-c", sys.argv[1], *sys.argv[2:]])
time.sleep(60)
"""
RECIPE = """
import os, pathlib, sys, time
from training.recipes.process.parent import die_with_parent
die_with_parent()
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {os.getppid()}")
time.sleep(60)
"""


def test_processes_of_a_launcher_end_with_the_worker(tmp_path, settings):
    """torch's launcher outlives a worker that is killed, and its processes had looked for the launcher alone."""
    noted = tmp_path / "pids"
    command = [sys.executable, "-c", STARTS_A_LAUNCHER, LAUNCHER, RECIPE, str(noted)]
    worker = subprocess.Popen(command, cwd=settings.BASE_DIR, start_new_session=True)
    try:
        wait_for(lambda: noted.exists() and noted.read_text())
        recipe, launcher = map(int, noted.read_text().split())
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        wait_for(lambda: not _is_alive(recipe))
        assert _is_alive(launcher)  # it is the worker that the recipe looked for
    finally:
        os.killpg(worker.pid, signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    from training.rundir import process_sign

    return bool(process_sign(pid))
