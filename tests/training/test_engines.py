"""The same faults on each engine: every run ends in a clear state, and never runs twice. Real engines on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from annotation import clock
from annotation.models import Completion, PolicyVersion, Project, Split
from tests import NIGHTLY, ray_cluster, slurm
from tests.tiny_model import tiny_checkpoint
from tests.training.conftest import SAMPLE
from tests.training.engines import Engine, Local, Ray, Slurm, loses_the_answer, state_of
from training.actions import runs
from training.actions.rounds import cancel_round, pause_round, resume_round, start_round
from training.executors import Job, Phase
from training.models import RunStatus, TrainingRound, TrainingRun
from training.reports.stages import stages_of
from training.worker import jobs
from training.worker.jobs import earlier_job, job_handle, new_job, stop
from training.worker.loop import Worker

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.xdist_group("engines"),
]
WAITS = "while not (run.path / 'go').exists():\n    time.sleep(0.02)\n"
ONCE_MORE = (
    "if run.load_state() is None:\n"
    "    run.save_state(lambda folder: (folder / 'step').write_text('1'))\n"
    "    run.report_progress(1, 2, 'updates')\n"
    "    time.sleep(600)\n"
    "assert (run.load_state() / 'step').read_text() == '1'\n"
)


class WAITED:
    """For how long a test waits at most; each engine has its own pace."""

    seconds = 60.0


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[slurm.Cluster]:
    if missing := slurm.missing():
        if os.environ.get("CI") == "true":
            pytest.fail(f"Slurm is not installed: {', '.join(missing)}")
        pytest.skip(f"Slurm is not installed: {', '.join(missing)}")
    folder = Path(tempfile.mkdtemp(prefix="prefloop-slurm-"))
    try:
        with slurm.cluster(folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def ray() -> Iterator[ray_cluster.Cluster]:
    if not NIGHTLY:
        pytest.skip("Ray is tried in `make nightly`: it is 384 MB, and its jobs take 10 s to start")
    program = ray_cluster.program()
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Ray is not installed in .venv-ray")
        pytest.skip("Ray is not installed in .venv-ray")
    folder = Path(tempfile.mkdtemp(prefix="prefloop-ray-"))
    try:
        with ray_cluster.cluster(folder, program) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["local", "slurm", "ray"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, settings) -> Iterator[Engine]:
    settings.TRAINING_POLL_SECONDS = 0.05
    settings.TRAINING_ENGINE_POLL_SECONDS = 0.2
    monkeypatch.setattr(jobs, "QUIET_SECONDS", 2.0)
    found: Engine
    if request.param == "slurm":
        cluster = request.getfixturevalue("slurm_cluster")
        monkeypatch.setenv("SLURM_CONF", str(cluster.configuration))
        found = Slurm(cluster)
    elif request.param == "ray":
        found = Ray(request.getfixturevalue("ray"))
        settings.RAY_ADDRESS = found.cluster.address
    else:
        found = Local()
    monkeypatch.setattr(WAITED, "seconds", found.seconds)
    try:
        found.repair()
        yield found
    finally:
        found.repair()


@pytest.fixture
def run(engine, project, policy, make_prompt) -> TrainingRun:
    make_prompt()
    start_round(project=project, methods=["sample"], by=None)
    return the_run()


def the_run() -> TrainingRun:
    return TrainingRun.objects.select_related("round__project").get()


def worker_of(engine: Engine, script: str = SAMPLE, **asked: object) -> Worker:
    executor = engine.executor()
    executor.script = script
    TrainingRun.objects.update(resources=asked)
    return Worker(executor)


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + WAITED.seconds
    while not condition():
        found = list(TrainingRun.objects.values_list("status", "attempt", "phase", "error"))
        assert time.monotonic() < until, f"it did not happen in time: {found}"
        time.sleep(0.05)


class Working:
    """A worker at work in a thread of this process, until the block ends or its run does."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        try:
            while not self.worker.stopping.is_set():
                if not self.worker.work_once():
                    self.worker.end_left_over()
                    self.worker.stopping.wait(0.05)
        finally:
            connection.close()

    def __enter__(self) -> Worker:
        self.thread.start()
        return self.worker

    def __exit__(self, *_: object) -> None:
        self.worker.stop()
        self.thread.join(60)


def is_over(run: TrainingRun) -> bool:
    return the_run().status not in (RunStatus.QUEUED, RunStatus.RUNNING)


def assert_succeeded_once(attempt: int) -> None:
    run = the_run()
    assert (run.status, run.attempt, run.job) == (RunStatus.SUCCEEDED, attempt, ""), run.error
    assert sorted(Completion.objects.values_list("text", flat=True)) == [f"answer {index}" for index in range(4)]


def test_it_succeeds(engine, run):
    worker = worker_of(engine)
    assert not worker.executor.outlives_worker or worker.executor.unavailable() == ""
    worker.run_until_idle()
    assert_succeeded_once(attempt=1)


def test_it_fails_with_the_reason(engine, run):
    worker_of(engine, "print('the first row is bad', flush=True)\nsys.exit(3)").run_until_idle()
    failed = the_run()
    assert (failed.status, failed.attempt, failed.job) == (RunStatus.FAILED, 1, "")
    assert "exit code 3" in failed.error
    assert "the first row is bad" in failed.error


def test_what_the_engine_refuses_is_the_reason(engine, run):
    if engine.refused is None:
        pytest.skip("it takes no resources that it could refuse")
    asked, reason = engine.refused
    worker_of(engine, **asked).run_until_idle()
    failed = the_run()
    assert failed.status == RunStatus.FAILED
    assert reason in failed.error.lower()


def test_cancelled_while_it_waits(engine, run, admin):
    if engine.pending is None:
        pytest.skip("its jobs start at once")
    with Working(worker_of(engine, **engine.pending)) as worker:
        wait_for(lambda: the_run().phase.startswith("Waiting in"))
        job = earlier_job(the_run())[1]
        cancel_round(round=run.round, by=admin)
        wait_for(lambda: the_run().job == "")
        assert not engine.stops_waiting or state_of(worker.executor, job).phase in (Phase.ENDED, Phase.GONE)
        assert job.folder.is_stopping()
    assert the_run().status == RunStatus.CANCELLED
    assert not (job.folder.path / "beat.json").exists()


def test_cancelled_while_it_runs(engine, run, admin):
    with Working(worker_of(engine, "(run.path / 'pid.txt').write_text(str(os.getpid()))\ntime.sleep(600)")):
        noted = run.directory.path / "pid.txt"
        wait_for(lambda: noted.exists() and noted.read_text())
        pid = int(noted.read_text())
        cancel_round(round=run.round, by=admin)
        wait_for(lambda: not Path(f"/proc/{pid}").exists())
        wait_for(lambda: the_run().job == "")
    assert the_run().status == RunStatus.CANCELLED


def test_a_stop_waits_for_the_end_of_an_update(engine, run, admin, settings):
    """The recipe is in an update when it is asked to stop, and saves its state after it: the next attempt finds it."""
    settings.TRAINING_STOP_GRACE_SECONDS = 60
    in_an_update = (
        "def finish(*_):\n"
        "    time.sleep(1)\n"
        "    run.save_state(lambda folder: (folder / 'step').write_text('1'))\n"
        "    os._exit(0 if run.result() else 143)\n"
        "if run.load_state() is None:\n"
        "    signal.signal(signal.SIGTERM, finish)\n"
        "    (run.path / 'ready').touch()\n"
        "    while True: time.sleep(0.1)\n"
        "assert (run.load_state() / 'step').read_text() == '1'\n"
    )
    with Working(worker_of(engine, in_an_update + SAMPLE)):
        wait_for((run.directory.path / "ready").exists)
        pause_round(round=run.round, by=admin)
        wait_for(lambda: the_run().status == RunStatus.QUEUED and the_run().job == "")
        resume_round(round=TrainingRound.objects.get())
        wait_for(lambda: is_over(run))
    assert_succeeded_once(attempt=1)


def test_its_node_is_killed(engine, run, settings):
    """It is noticed by our own signs of life; the next attempt goes on from the last state."""
    with Working(worker_of(engine, ONCE_MORE + SAMPLE)):
        wait_for(lambda: the_run().progress_done == 1)
        settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS = 2
        settings.TRAINING_STOP_GRACE_SECONDS = 1
        engine.kill_node(new_job(the_run()))
        wait_for(lambda: the_run().attempt == 2 or the_run().status == RunStatus.QUEUED)
        settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS = 60
        engine.repair()
        wait_for(lambda: is_over(run))
    assert_succeeded_once(attempt=2)


def test_the_answer_to_its_submission_is_lost(engine, run):
    worker = worker_of(engine)
    lost = loses_the_answer(worker.executor)
    if not worker.executor.outlives_worker:
        pytest.skip("a process of this machine starts before the call returns")
    worker.run_until_idle()
    assert_succeeded_once(attempt=1)
    assert len(list((run.directory.path / "jobs").iterdir())) == 1
    assert lost


def test_it_is_submitted_twice(engine, run):
    """The second submission is the same job; where the engine took both all the same, one of them does nothing."""
    worker = worker_of(engine, "run.log_sample({'step': -1, 'text': 'begun'})\n" + WAITS + "run.rewind(-2)\n" + SAMPLE)
    if not worker.executor.outlives_worker:
        pytest.skip("a process of this machine starts before the call returns")
    claimed = runs.claim_run()
    executor, job = worker._submitted(claimed)
    executor.submit(job)
    assert engine.jobs(job) == 1
    engine.submit_blindly(executor, job)
    wait_for(lambda: list(job.directory.samples()))
    wait_for(lambda: "runs this job already" in executor.log_tail(job) or engine.jobs(job) == 1)
    assert len(list(job.directory.samples())) == 1
    (job.directory.path / "go").touch()
    runs.put_back(run=claimed)
    worker.run_until_idle()
    assert_succeeded_once(attempt=1)


def test_its_worker_is_killed(engine, run):
    """The next worker follows the same job where the engine has kept it, and resumes where it has not."""
    script = "(run.path / 'begun').open('a').write('x')\n" + WAITS + SAMPLE
    worker = worker_of(engine, script)
    claimed = runs.claim_run()
    executor, job = worker._submitted(claimed)
    wait_for((job.directory.path / "begun").exists)
    TrainingRun.objects.update(heartbeat_at=clock.now() - timedelta(minutes=5))
    with Working(worker_of(engine, script)):
        wait_for(lambda: the_run().attempt == 2)
        time.sleep(0.5)
        (job.directory.path / "go").touch()
        wait_for(lambda: is_over(run))
    assert_succeeded_once(attempt=2)
    begun = (job.directory.path / "begun").read_text()
    assert begun == ("x" if executor.outlives_worker else "xx")
    if not executor.outlives_worker:
        executor.cancel(job)


def test_its_worker_is_restarted(engine, run):
    """In good order: no attempt counts, and a job of an engine goes on meanwhile."""
    script, begun = "(run.path / 'begun').open('a').write('x')\n" + WAITS + SAMPLE, run.directory.path / "begun"
    with Working(worker_of(engine, script)) as worker:
        wait_for(lambda: begun.exists() and begun.read_text() == "x")  # it is there before it is written to
    assert the_run().status == RunStatus.QUEUED
    (run.directory.path / "go").touch()
    worker_of(engine, script).run_until_idle()
    assert_succeeded_once(attempt=1)
    assert begun.read_text() == ("x" if worker.executor.outlives_worker else "xx")


def test_its_head_is_killed_and_restarted(engine, run):
    if not hasattr(engine, "kill_head"):
        pytest.skip("it has no other process")
    with Working(worker_of(engine, "run.report_progress(1, 2, 'updates')\n" + WAITS + SAMPLE)):
        wait_for(lambda: the_run().progress_done == 1)
        engine.kill_head()
        (run.directory.path / "go").touch()
        wait_for(lambda: is_over(run))  # by our own files: the engine says nothing
        engine.repair()
    assert_succeeded_once(attempt=1)


def test_an_engine_that_is_away_is_waited_for(engine, run):
    if not hasattr(engine, "kill_head"):
        pytest.skip("it has no other process")
    engine.kill_head()
    assert engine.executor().unavailable()
    waiting: list[TrainingRun] = []

    def is_said() -> bool:
        waiting[:] = [each for each in [the_run()] if each.status == RunStatus.QUEUED and each.phase]
        return bool(waiting)

    with Working(worker_of(engine)):
        wait_for(is_said)
        assert stages_of(waiting[0].round, waiting)[0].doing == waiting[0].phase
        engine.repair()
        wait_for(lambda: is_over(run))
    assert_succeeded_once(attempt=1)


def test_it_gives_way_to_another_job(engine, run, tmp_path):
    """An attempt that got on before it was interrupted does not count."""
    if not hasattr(engine, "preempt"):
        pytest.skip("it interrupts no job for another one")
    with Working(worker_of(engine, ONCE_MORE + SAMPLE)):
        wait_for(lambda: run.directory.load_state() and run.directory.progress())
        engine.preempt(tmp_path / "other")
        wait_for((tmp_path / "other").exists)
        wait_for(lambda: is_over(run))
    assert_succeeded_once(attempt=1)
    assert "gave way to a job with a higher priority" in run.directory.log_tail()


def test_it_reaches_its_time_limit_and_goes_on(engine, run, monkeypatch):
    """Its limit is a second here, where people give minutes: the job ends its recipe, and the next one goes on."""
    if not engine.executor.outlives_worker:
        pytest.skip("it takes no time limit")
    worker = worker_of(engine, ONCE_MORE + SAMPLE, minutes=5)
    prepared = worker.executor.prepare
    limits = iter([1 / 60])

    def prepare(job: Job) -> None:
        prepared(job)
        written = json.loads((job.folder.path / "job.json").read_text())
        job.folder.prepare({**written, "minutes": next(limits, 0)})

    monkeypatch.setattr(worker.executor, "prepare", prepare)
    with Working(worker):
        wait_for(lambda: is_over(run))
    assert_succeeded_once(attempt=1)
    assert "It reached its time limit." in run.directory.log_tail()
    assert len(list((run.directory.path / "jobs").iterdir())) == 2


def test_one_worker_follows_runs_of_several_rounds_at_once(engine, run, policy, make_prompt):
    """Each of two rounds waits for the other one to have begun: one after the other, neither would end."""
    other = Project.objects.create(slug="other", name="Other")
    make_prompt(project=other)
    PolicyVersion.objects.create(project=other, number=0, checkpoint=policy.checkpoint)
    second = start_round(project=other, methods=["sample"], by=None).runs.get()
    meet = "(run.path / 'begun').touch()\nwhile len(list(run.path.parent.glob('*/begun'))) < 2:\n    time.sleep(0.02)\n"
    executor = engine.executor()
    executor.script = meet + SAMPLE
    worker = Worker(executor, runs_at_once=2)
    thread = threading.Thread(target=run_forever, args=[worker])
    thread.start()
    try:
        wait_for(lambda: not TrainingRun.objects.exclude(status=RunStatus.SUCCEEDED).exists())
    finally:
        worker.stop()
        thread.join(60)
    assert {each.attempt for each in TrainingRun.objects.all()} == {1}
    assert Completion.objects.filter(project=second.round.project).count() == 4


def run_forever(worker: Worker) -> None:
    try:
        worker.run_forever()
    finally:
        connection.close()


def test_a_frozen_job_is_given_up_and_writes_nothing_when_it_wakes_up(engine, run, settings):
    settings.TRAINING_STOP_GRACE_SECONDS = 1
    begins = (
        "if run.load_state() is None:\n"
        "    run.save_state(lambda folder: (folder / 'pids').write_text(f'{os.getpid()} {os.getppid()}'))\n"
        "    while True:\n        run.log_sample({'step': 0, 'text': 'old'})\n        time.sleep(0.02)\n"
        "run.rewind(-1)\n"
    )
    if not engine.executor.outlives_worker:
        pytest.skip("its process is known by its exit code alone")
    with Working(worker_of(engine, begins + SAMPLE)) as worker:
        wait_for(lambda: run.directory.load_state() and list(run.directory.samples()))
        job = new_job(the_run())
        pids = [int(pid) for pid in (run.directory.load_state() / "pids").read_text().split()]
        settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS = 2
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        worker.executor.cancel = lambda job, now=False: None  # nor can the engine reach it
        wait_for(lambda: is_over(run) or the_run().job not in ("", job_handle(worker.executor, job)))
        settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS = 60  # the next one may be slow to start
        wait_for(lambda: is_over(run))
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        wait_for(job.folder.ended)
    assert_succeeded_once(attempt=2)
    assert {row["text"] for row in run.directory.samples()} == {f"answer {index}" for index in range(4)}


def test_jobs_of_runs_that_nobody_follows_are_ended(engine, run, admin):
    """The worker was away when the round was cancelled."""
    if not engine.executor.outlives_worker:
        pytest.skip("its processes end with the worker")
    with Working(worker_of(engine, "(run.path / 'begun').touch()\ntime.sleep(600)")):
        wait_for((run.directory.path / "begun").exists)
    cancel_round(round=run.round, by=admin)
    worker = worker_of(engine)
    job = earlier_job(the_run())[1]
    assert state_of(worker.executor, job).phase in (Phase.RUNNING, Phase.WAITING)  # Ray is late to say so
    with Working(worker):
        wait_for(lambda: the_run().job == "")
    assert the_run().status == RunStatus.CANCELLED
    stop(worker.executor, job)  # once more changes nothing


@pytest.mark.recipes
@pytest.mark.skipif(not NIGHTLY, reason="imports torch on the engine; a few lines of Python stand for it otherwise")
def test_a_real_training_on_an_engine(engine, project, policy, ranked_task, make_prompt, tmp_path, as_user, admin):
    """The recipe itself, with torch, as the page of its round shows it afterwards."""
    if engine.name == "local":
        pytest.skip("tests/training/test_failures.py and others train on this machine")
    PolicyVersion.objects.update(checkpoint=str(tiny_checkpoint(tmp_path / "base")))
    for number in range(3):
        texts = [f"The sea is calm {number}.", f"Rain {number}.", f"Green and warm {number}."]
        ranked_task(texts, prompt=make_prompt(split=Split.TRAIN))
    small = {"pooling": "mean", "learning_curve": 0, "lora_rank": 4, "top_blocks": 2, "gate": "report"}
    small |= {"epochs": 2, "reference_samples": 8, "max_new_tokens": 6}
    asked = {"executor": engine.name, "cpus": 1, "minutes": 30}
    start_round(project=project, methods=["reward"], settings={"reward": small}, compute={"reward": asked}, by=None)
    Worker().run_until_idle()
    run = the_run()
    assert (run.status, run.attempt) == (RunStatus.SUCCEEDED, 1), run.error
    assert (run.directory.checkpoint_path / "adapter_model.safetensors").exists()
    assert len(list((run.directory.path / "jobs").iterdir())) == 1
    page = as_user(admin).get("/projects/letters/rounds/1/").content.decode()
    assert f"{engine.executor.label}; CPUs: 1; Time limit, minutes: 30" in page


def test_a_container_image_is_started_as_the_settings_say(engine, run, settings):
    """`env` stands in for Apptainer: what runs the command gets the image's name."""
    if engine.name != "slurm":
        pytest.skip("only Slurm runs images by a command")
    named = "assert os.environ['IMAGE'] == 'prefloop.sif'\n"
    settings.SLURM_CONTAINER = "env IMAGE={image}"
    worker_of(engine, named + SAMPLE, image="prefloop.sif").run_until_idle()
    assert_succeeded_once(attempt=1)


def test_an_image_without_what_starts_it_is_the_reason(engine, run):
    if engine.name != "slurm":
        pytest.skip("only Slurm runs images by a command")
    worker_of(engine, image="prefloop.sif").run_until_idle()
    assert the_run().status == RunStatus.FAILED
    assert "an image needs PREFLOOP_SLURM_CONTAINER, such as" in the_run().error


def test_what_a_site_asks_for_by_variables_of_sbatch_reaches_it(engine, run, monkeypatch):
    """And no other variable does: what a job has in its environment, an administrator of the cluster can read."""
    if engine.name != "slurm":
        pytest.skip("only Slurm has such variables")
    monkeypatch.setenv("EXAMPLE_KEY", "sesame")
    alone = "assert 'EXAMPLE_KEY' not in os.environ\nassert os.environ['SLURM_JOB_PARTITION'] == 'high'\n"
    monkeypatch.setenv("SBATCH_PARTITION", "high")
    worker_of(engine, alone + SAMPLE).run_until_idle()
    assert_succeeded_once(attempt=1)
    for name in ("SBATCH_CONSTRAINT", "SBATCH_RESERVATION"):
        with monkeypatch.context() as site:
            site.setenv(name, "nowhere")
            with pytest.raises(ValueError, match=r"(?i)feature|reservation"):
                engine.executor().submit(replace(new_job(the_run()), submission=name.lower()))


def test_a_job_that_its_engine_suspends_goes_on_later(engine, run, settings):
    """Its processes are stopped for another job, and give no sign of life meanwhile."""
    if engine.name != "slurm":
        pytest.skip("it suspends no job")
    with Working(worker_of(engine, "run.report_progress(1, 2, 'updates')\n" + WAITS + SAMPLE)):
        wait_for(lambda: the_run().progress_done == 1)
        job = new_job(the_run())
        engine.suspend(job)
        wait_for(lambda: the_run().phase == "Waiting in Slurm: it is suspended")
        settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS = 1
        time.sleep(3)
        settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS = 60
        (run.directory.path / "go").touch()
        engine.resume(job)
        wait_for(lambda: is_over(run))
    assert_succeeded_once(attempt=1)
