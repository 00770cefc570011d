"""The worker: takes queued runs, starts their recipes as processes, carries what they write into the database.

It imports no tensor library, so it may share a process with the pages; any number of them may run beside each other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection, connections
from django.utils.translation import gettext_noop

from annotation import audit, live
from annotation.actions import ai_judge_runs, expiry, feedback_erasure, import_jobs, quality_figures
from annotation.delivery import dispatch
from annotation.plain_text import cleaned_text
from training.actions import autopilot, packages, rounds, runs, signs
from training.executors import EXECUTORS, EngineAway, Executor, Job, Phase, Waits, configured_executor
from training.models import RunStatus, TrainingRun
from training.products import product_of
from training.products.chat import chat_inputs
from training.rundir import Row, RunDir
from training.worker.jobs import Ended, Stopping, Watch, does_not_answer, earlier_job, job_handle, new_job, stop
from training.worker.preparation import prepare_next

logger = logging.getLogger(__name__)
SIGN_EVERY_SECONDS = 10.0  # for /ready/
DATABASE_AWAY = (OperationalError, InterfaceError)
LEFT_OVER_EVERY_SECONDS = 3.0  # jobs of runs that were cancelled, or whose round is paused
TRIM_EVERY_SECONDS = 3600.0  # tables that would only grow
_COULD_NOT_PREPARE = gettext_noop("Could not prepare the run: %(why)s")
_COULD_NOT_START = gettext_noop("Could not start the process: %(why)s")
_COULD_NOT_GO_ON = gettext_noop("The worker could not go on with it: %(why)s")


class NotPrepared(Exception):
    """The run directory could not be filled; the message says why."""


class Worker:
    """`stop` ends it in good order: a run in progress goes back into the queue and is resumed by the next worker.

    It follows `runs_at_once` runs, of different rounds: the stages of one round need each other.
    """

    def __init__(self, executor: Executor | None = None, *, runs_at_once: int = 1) -> None:
        self.runs_at_once = runs_at_once
        self.only = executor  # of all runs, whatever they ask for
        self.executor: Executor = executor or configured_executor()
        self.stopping_jobs = Stopping()
        self.looked_for_jobs_at = -LEFT_OVER_EVERY_SECONDS
        self.stopping = threading.Event()
        self.signed_at = -SIGN_EVERY_SECONDS
        self.trimmed_at = -TRIM_EVERY_SECONDS
        self.reclaims_from = 0.0  # on the monotonic clock

    def run_forever(self) -> None:
        # Beside the runs, which take hours: webhooks and mail go out within seconds, files are imported, and a new
        # project need not wait for its model until another one's round is over.
        beside = [
            threading.Thread(target=self.deliver_forever, name="dispatch", daemon=True),
            threading.Thread(target=self.prepare_forever, name="models", daemon=True),
            *self._further_runs(),
        ]
        for thread in beside:
            thread.start()
        self._repeat(self.work_once)
        for thread in beside:
            thread.join()

    def _further_runs(self) -> list[threading.Thread]:
        """Return threads that do what this one does, each with a connection of its own."""
        return [
            threading.Thread(target=self._work_forever, name=f"run {number}", daemon=True)
            for number in range(2, self.runs_at_once + 1)
        ]

    def _work_forever(self) -> None:
        try:
            self._repeat(self.work_once)
        finally:
            connections.close_all()

    def deliver_forever(self) -> None:
        """Send webhooks and mail, import files, ask AI judges and make figures of quality until the worker stops."""
        beside = [
            threading.Thread(target=self._repeat_apart, args=[work], name=name, daemon=True)
            for name, work in (
                ("imports", import_jobs.work_next),
                ("judges", ai_judge_runs.work_next),
                ("figures", quality_figures.work_next),
            )
        ]
        for thread in beside:
            thread.start()
        try:
            self._repeat(self._work_beside_runs)
        finally:
            connections.close_all()
            for thread in beside:
                thread.join()

    def _repeat_apart(self, work_next: Callable[[Callable[[], bool]], bool]) -> None:
        """Repeat work in a thread of its own, which ends with its connections."""
        try:
            self._repeat(lambda: work_next(self.stopping.is_set))
        finally:
            connections.close_all()

    def prepare_forever(self) -> None:
        try:
            self._repeat(lambda: prepare_next(self.stopping))
        finally:
            connections.close_all()

    def _repeat(self, work: Callable[[], bool]) -> None:
        while not self.stopping.is_set():
            try:
                busy = work()
            except Exception:
                # The database may be away for a moment; a worker that gives up then is a stuck queue.
                logger.exception("worker iteration failed; retrying")
                busy = False
            close_old_connections()
            if not busy:
                self.stopping.wait(settings.TRAINING_POLL_SECONDS)

    def run_until_idle(self) -> None:
        """Work while there is something to do, then return: for commands and tests."""
        while not self.stopping.is_set() and self.work_once():
            pass
        while not self.stopping.is_set() and (
            work_beside_runs()
            or import_jobs.work_next()
            or ai_judge_runs.work_next()
            or quality_figures.work_next()
            or prepare_next(self.stopping)
        ):
            pass

    def stop(self) -> None:
        self.stopping.set()

    def _work_beside_runs(self) -> bool:
        if time.monotonic() - self.looked_for_jobs_at >= LEFT_OVER_EVERY_SECONDS:
            self.looked_for_jobs_at = (
                time.monotonic()
            )  # before: what fails is not tried again at once, ahead of messages
            self.end_left_over()
        if time.monotonic() - self.trimmed_at >= TRIM_EVERY_SECONDS:
            self.trimmed_at = time.monotonic()
            audit.trim(keep_days=settings.AUDIT_DAYS)
            expiry.delete_expired(keep_days=settings.MESSAGE_DAYS)
            feedback_erasure.delete_old()
        return work_beside_runs()

    def _give_sign(self) -> None:
        if time.monotonic() - self.signed_at >= SIGN_EVERY_SECONDS:
            signs.give_sign()
            self.signed_at = time.monotonic()

    def work_once(self) -> bool:
        """Claim one run and supervise it to its end, or make one package; return False if there was nothing to do."""
        self._give_sign()
        if time.monotonic() >= self.reclaims_from:
            runs.reclaim_lost_runs()
        rounds.pause_alarmed()
        autopilot.look()
        run = runs.claim_run()
        if run is None:
            return packages.make_next()
        logger.info("%s of %s: attempt %s", run, run.round.project, run.attempt)
        live.announce(run.round.project_id, "round")
        try:
            self._supervise(run)
        except runs.InvalidTransition as lost:
            logger.info("%s", lost)
        except DATABASE_AWAY:
            raise  # nothing can be stored: the run is taken up again once its heartbeat is old
        except Exception as problem:
            logger.exception("%s failed in the worker", run)
            self._fail(run, _COULD_NOT_GO_ON % {"why": f"{type(problem).__name__}: {problem}"})
        return True

    def _fail(self, run: TrainingRun, error: str) -> None:
        try:
            self._patiently(lambda: runs.fail_run(run=run, error=cleaned_text(error)))
        except runs.InvalidTransition as lost:
            logger.info("%s", lost)

    def _patiently(self, store: Callable[[], None]) -> None:
        """Call `store`, once more each time that the database is away; give up where the worker is being stopped."""
        while True:
            try:
                return store()
            except DATABASE_AWAY as problem:
                self._note_loss(problem)
                if self.stopping.wait(settings.TRAINING_POLL_SECONDS):
                    raise

    def _note_loss(self, problem: Exception) -> None:
        """Give up the connection, and take no run from another worker before that one had time to beat again."""
        if connection.in_atomic_block:
            raise problem
        if time.monotonic() >= self.reclaims_from:
            logger.warning("The database is away, the run goes on meanwhile: %s", str(problem).strip())
        connection.close()
        self.reclaims_from = time.monotonic() + settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS

    def executor_named(self, name: str) -> Executor:
        """Return the executor that a run names, or that of the settings. Raises ValueError with the known names."""
        if self.only or not name:
            return self.executor
        if name not in EXECUTORS:
            raise ValueError(f"There is no executor {name!r}; installed: {', '.join(EXECUTORS)}.")
        return EXECUTORS[name]

    def _supervise(self, run: TrainingRun) -> None:
        try:
            executor, job = self._going_on(run) or self._submitted(run)
        except (runs.InvalidTransition, *DATABASE_AWAY):
            raise
        except Waits as waits:
            self._wait(run, str(waits))
            return
        except NotPrepared as problem:
            runs.fail_run(run=run, error=str(problem))
            return
        except (OSError, ValueError) as problem:
            logger.exception("Could not start %s", run)
            runs.fail_run(run=run, error=_COULD_NOT_START % {"why": problem})
            return
        ended = self._followed(run, executor, job)
        if ended is None:
            self._patiently(lambda: runs.put_back(run=run))
            logger.info("%s goes back into the queue", run)
            live.announce(run.round.project_id, "round")
            return
        if ended.is_over:
            job.folder.forget_keys()
            self._patiently(lambda: runs.note_job(run=run, job=""))
        self._patiently(
            lambda: runs.settle_run(run=run, exit_code=ended.code, why_ended=ended.why, interrupted=ended.interrupted)
        )
        run.refresh_from_db(fields=["status"])
        logger.info("%s: %s", run, RunStatus(run.status).label)

    def _going_on(self, run: TrainingRun) -> tuple[Executor, Job] | None:
        """Return the job of an earlier claim that goes on, or has ended by itself; None where there is none.

        Raises Waits where that job must not go on and is not over yet.
        """
        earlier = earlier_job(run)
        if earlier is None:
            return None
        executor, job = self.executor_named(earlier[0]), earlier[1]
        may_go_on = not job.folder.is_stopping() and run.directory.writer() == job.submission
        if may_go_on and executor.outlives_worker:
            state = executor.poll(job)
            if state.phase is Phase.UNKNOWN and not job.folder.ended():
                raise EngineAway(does_not_answer(executor, state))
            if state.phase is not Phase.GONE or job.folder.ended() or job.folder.beat():
                logger.info("%s: its job %s goes on", run, job.name)
                return executor, job
        elif not self.stopping_jobs.is_over(executor, job):
            raise Waits(gettext_noop("The job of the last attempt is still stopping"))
        job.folder.forget_keys()
        runs.note_job(run=run, job="")
        return None

    def _submitted(self, run: TrainingRun) -> tuple[Executor, Job]:
        """Prepare the run directory and submit a new job, whose name is stored before: its answer may be lost."""
        directory, executor = run.directory, self.executor_named(run.executor)
        self._prepare(run, directory)
        job = new_job(run)
        if executor.outlives_worker:
            runs.note_job(run=run, job=job_handle(executor, job))
        executor.submit(job)
        return executor, job

    def _prepare(self, run: TrainingRun, directory: RunDir) -> None:
        try:
            if not directory.is_prepared():
                directory.prepare(config=config_for(run), rows=rows_for(run))
            runs.check_ours(run)  # preparing takes long
            directory.admit(run.submission)
        except (runs.InvalidTransition, *DATABASE_AWAY):
            raise
        except Exception as problem:
            logger.exception("Could not prepare %s", run)
            raise NotPrepared(_COULD_NOT_PREPARE % {"why": problem}) from problem

    def _wait(self, run: TrainingRun, why: str) -> None:
        runs.put_back(run=run, phase=why)
        logger.info("%s waits: %s", run, why)
        self.stopping.wait(settings.TRAINING_POLL_SECONDS)

    def _followed(self, run: TrainingRun, executor: Executor, job: Job) -> Ended | None:
        """Follow a job to its end; None where it goes back into the queue. What nobody needs any more is stopped."""
        try:
            ended = self._follow(run, Watch(executor, job))
            if ended is not None and not ended.is_over:
                stop(executor, job, now=True)
            return ended
        except runs.Paused as paused:
            logger.info("%s", paused)
            stop(executor, job)
            return None
        except runs.InvalidTransition:
            if not runs.has_successor(run):
                stop(executor, job)
            raise
        finally:
            if not executor.outlives_worker:
                executor.cancel(job)

    def _follow(self, run: TrainingRun, watch: Watch) -> Ended | None:
        """Copy metrics and progress until the job ends; return how, None if the worker was stopped.

        While the database is away the job goes on: what it logs meanwhile is copied later.
        """
        copied = _Copied()
        while (ended := watch.look()) is None:
            if self.stopping.wait(settings.TRAINING_POLL_SECONDS):
                return None
            try:
                self._copy_news(run, copied, watch.waits_for)
            except DATABASE_AWAY as problem:
                self._note_loss(problem)
        return ended

    def end_left_over(self) -> None:
        """Stop the jobs of runs that were cancelled, have failed, or whose round is paused."""
        for run in runs.with_left_over_job():
            name, job = earlier_job(run) or ("", new_job(run))
            try:
                over = self.stopping_jobs.is_over(self.executor_named(name), job)
            except ValueError as unknown:
                logger.warning("%s of %s: %s", run, run.round.project, unknown)
                continue
            if over:
                runs.forget_job(run=run)

    def _copy_news(self, run: TrainingRun, copied: _Copied, waits_for: str) -> None:
        """Store what the process has logged since, with a sign of life. Raises InvalidTransition and Paused."""
        self._give_sign()
        rows, offset = run.directory.metrics_since(copied.offset)
        news = runs.save_metrics(run=run, rows=rows)
        copied.offset = offset
        now = (run.directory.progress(), waits_for or run.directory.phase())
        is_new = bool(news) or now != copied.seen
        if is_new or time.monotonic() - copied.last_beat > settings.TRAINING_HEARTBEAT_SECONDS:
            rounds.pause_alarmed()
            runs.heartbeat(run=run, progress=now[0], phase=now[1])
            if is_new:
                live.announce(run.round.project_id, "round")
            copied.seen, copied.last_beat = now, time.monotonic()


@dataclass
class _Copied:
    """What the database knows of a run that goes on."""

    offset: int = 0  # in metrics.jsonl
    seen: tuple[Row | None, str] = (None, "")  # progress and phase
    last_beat: float = 0.0  # on the monotonic clock


def work_beside_runs() -> bool:
    """Send what is due, and delete old previews; return whether there was anything."""
    delivered = dispatch.deliver_next()
    return import_jobs.forget_previews() > 0 or delivered


def config_for(run: TrainingRun) -> dict[str, Any]:
    """Return what a recipe finds in config.json: its settings, and what it starts from."""
    inputs = product_of(run.spec).inputs_for(run) | chat_inputs(run.round.project)
    return {"method": run.method, "settings": run.config, "inputs": inputs}


def rows_for(run: TrainingRun) -> Iterator[Row]:
    """Yield what a recipe finds in data.jsonl."""
    return product_of(run.spec).rows_for(run)
