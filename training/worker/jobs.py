"""Jobs of runs: which one a run has, whether it is alive, how it ended.

An engine may say RUNNING of what died with its node, and forget what goes on: its word only helps to notice an end
early. A job is alive as long as the number in its beat.json grows, and over once exit.json is there.
"""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import dataclass
from typing import NamedTuple

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext_noop

from training.executors import EngineAway, Executor, Job, Phase, Resources, State
from training.jobdir import BY_ENGINE, FROM_OUTSIDE, JOB_CLOSED, TIME_LIMIT
from training.models import TrainingRun
from training.rundir import NO_SPACE

QUIET_SECONDS = 5.0  # without a sign of life after which an engine is believed that says that a job is over
KILLED = -signal.SIGKILL  # stands for an end whose exit code nobody knows
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)  # by which engines, launchers and people end a process
SAYS = {
    Phase.GONE: gettext_noop("%(engine)s knows no such job any more"),
    Phase.UNKNOWN: gettext_noop("%(engine)s does not answer"),
    Phase.ENDED: gettext_noop("%(engine)s says that it ended"),
    Phase.RUNNING: gettext_noop("%(engine)s says that it runs"),
    Phase.WAITING: gettext_noop("%(engine)s says that it waits"),
}
_INACTIVE = gettext_noop("It was inactive for %(seconds)s s; %(what)s.")
_NEVER_BEGAN = gettext_noop("It never reported that it had begun; %(what)s.")
_WAITING = gettext_noop("Waiting in %(engine)s")
_WAITING_FOR = gettext_noop("Waiting in %(engine)s: %(why)s")
_DOES_NOT_ANSWER = gettext_noop("%(engine)s does not answer: %(why)s")


class Ended(NamedTuple):
    """How a job ended. `why` is empty where the process ended by itself."""

    code: int
    why: str = ""
    interrupted: bool = False  # by the engine's rules: no fault of the run
    is_over: bool = True  # False: it is given up as lost, and may wake up


def new_job(run: TrainingRun) -> Job:
    """Return the job of a run's claim that is in force."""
    return _job(run, run.submission)


def job_handle(executor: Executor, job: Job) -> str:
    """Return what the database keeps of a job."""
    return f"{executor.name}:{job.submission}"


def earlier_job(run: TrainingRun) -> tuple[str, Job] | None:
    """Return the executor's name and the job that an earlier claim of a run has submitted, where it may be alive."""
    name, _, submission = run.job.partition(":")
    return (name, _job(run, submission)) if submission else None


def _job(run: TrainingRun, submission: str) -> Job:
    resources = Resources(**(run.resources or {}))
    return Job(str(run.pk), submission, run.spec.recipe, run.directory, resources)


def stop(executor: Executor, job: Job, *, now: bool = False) -> None:
    """Ask a job to end, through its folder and through its engine, where that one answers."""
    job.folder.ask_to_stop()
    with contextlib.suppress(EngineAway):  # the job looks into its folder
        executor.cancel(job, now=now)


@dataclass
class _Seen:
    beat: int
    since: float  # on the monotonic clock
    beats: int = 0  # that were seen to come


class Watch:
    """Looks after one job, by this process's monotonic clock alone."""

    def __init__(self, executor: Executor, job: Job) -> None:
        self.executor, self.job = executor, job
        self.waits_for = ""  # the engine's words, while the job has not begun
        self._state = State(Phase.UNKNOWN)
        self._polled_at = -1e9
        self._ended_since: float | None = None  # since when exit.json is there
        self._over_since: float | None = None  # since when the engine says that it is over
        self._running_since: float | None = None
        self._seen = _Seen(0, time.monotonic())

    def look(self) -> Ended | None:
        """Return how the job ended, None while it goes on."""
        if not self.executor.outlives_worker:
            state = self.executor.poll(self.job)
            return None if state.phase is Phase.RUNNING else Ended(_code_of_engine(state))
        if (ended := self._by_itself()) is not None:
            return ended
        if self._ended_since is not None:
            return None
        silent = self._silence()
        state = self._ask_engine()
        alive = self._seen.beat > 0
        suspended = alive and state.phase is Phase.WAITING
        if suspended:  # it can give no sign of life, and has its time for one anew once it goes on
            self._seen.since = time.monotonic()
        self.waits_for = _waiting_words(self.executor, state) if suspended or not alive else ""
        if state.phase in (Phase.ENDED, Phase.GONE) and self._over_for() > QUIET_SECONDS and silent > QUIET_SECONDS:
            return self._by_itself() or self._by_engine(state)
        if alive and not suspended and silent > settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS:
            return self._lost(_INACTIVE, state, seconds=f"{silent:.0f}")
        if not alive and self._running_for() > settings.TRAINING_BEGIN_SECONDS:
            return self._lost(_NEVER_BEGAN, state)
        return None

    def _lost(self, how: str, state: State, **values: str) -> Ended:
        told = how % {**values, "what": _words(self.executor, state)}
        return Ended(KILLED, f"{told}{self._printed()}", is_over=False)

    def _by_itself(self) -> Ended | None:
        found = self.job.folder.ended()
        if found is None:
            return None
        code, why = _as_signal(found[0]), found[1]
        if code > 0 and code != NO_SPACE and why in FROM_OUTSIDE:
            code = -signal.SIGTERM  # whatever it made of being asked to end
        if code >= 0 or why not in ("", BY_ENGINE):
            return Ended(code, why, interrupted=why == TIME_LIMIT)
        self._ended_since = self._ended_since or time.monotonic()
        state = self._ask_engine()  # which may know why, once it knows that it is over
        if state.phase not in (Phase.ENDED, Phase.GONE) and time.monotonic() - self._ended_since < QUIET_SECONDS:
            return None
        known = state.exit_code is None and state.why
        said = f"{_words(self.executor, state)}." if known else why
        return Ended(code, said, interrupted=state.interrupted or why == BY_ENGINE)

    def _by_engine(self, state: State) -> Ended:
        why = f"{_words(self.executor, state)}.{self._printed()}"
        return Ended(_code_of_engine(state), why, interrupted=state.interrupted)

    def _printed(self) -> str:
        printed = self.executor.log_tail(self.job, 1000).strip()
        return f"\n{printed}" if printed else ""

    def _silence(self) -> float:
        """Return for how long the beat has not grown, in seconds."""
        beat, now = self.job.folder.beat(), time.monotonic()
        if beat != self._seen.beat:
            self._seen = _Seen(beat, now)
        return now - self._seen.since

    def _ask_engine(self) -> State:
        now = time.monotonic()
        if now - self._polled_at >= settings.TRAINING_ENGINE_POLL_SECONDS:
            self._state, self._polled_at = self.executor.poll(self.job), now
            over = self._state.phase in (Phase.ENDED, Phase.GONE)
            self._over_since = (self._over_since or now) if over else None
            running = self._state.phase is Phase.RUNNING
            self._running_since = (self._running_since or now) if running else self._running_since
        return self._state

    def _over_for(self) -> float:
        return time.monotonic() - self._over_since if self._over_since is not None else 0.0

    def _running_for(self) -> float:
        return time.monotonic() - self._running_since if self._running_since is not None else 0.0


class Stopping:
    """Ends jobs that nobody needs any more; asks until they are over."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[float, float, int]] = {}  # by job: first and last on the monotonic clock, beat

    def is_over(self, executor: Executor, job: Job) -> bool:
        """Ask a job to end, again every few seconds and at once after its grace; return whether it is over.

        One that gives no sign of life although its engine says that it runs, or does not answer, counts as over after
        its grace and the time after which a job is lost: it could not write, if it woke up.
        """
        if not executor.outlives_worker or job.folder.ended() or not job.folder.path.exists():
            self._asked.pop(job.name, None)
            return True
        now, beat = time.monotonic(), job.folder.beat()
        first, last, seen = self._asked.get(job.name, (now, -1e9, beat))
        if now - last < settings.TRAINING_ENGINE_POLL_SECONDS:
            return False
        if beat != seen:
            first = max(first, now - settings.TRAINING_STOP_GRACE_SECONDS - 1)
        stop(executor, job, now=now - first > settings.TRAINING_STOP_GRACE_SECONDS)
        phase = executor.poll(job).phase
        # One that waits, and is not taken out of the queue by its engine, ends as soon as it begins.
        over = phase in (Phase.ENDED, Phase.GONE) or (phase is Phase.WAITING and beat == 0)
        given_up = settings.TRAINING_STOP_GRACE_SECONDS + settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS
        if over or (beat == seen and now - first > given_up):
            self._asked.pop(job.name, None)
            return True
        self._asked[job.name] = (first, now, beat)
        return False


def _as_signal(code: int) -> int:
    """Return -n for 128 + n, as a shell, a launcher or a container writes that its process was ended by signal n."""
    return 128 - code if code - 128 in SIGNALS else code


def _code_of_engine(state: State) -> int:
    """Return the exit code of an end that the engine alone tells of: no fault of the recipe where it did not run."""
    if state.exit_code in (None, JOB_CLOSED) or (state.interrupted and state.exit_code != 0):
        return KILLED
    return _as_signal(state.exit_code)


def _words(executor: Executor, state: State) -> str:
    """Return what an engine says of a job, in English."""
    said = SAYS[state.phase] % {"engine": english(executor)}
    return f"{said}: {state.why}" if state.why else said


def _waiting_words(executor: Executor, state: State) -> str:
    """Return for what a job waits that has not begun, in English."""
    if state.phase is Phase.UNKNOWN:
        return does_not_answer(executor, state)
    if state.phase is not Phase.WAITING:
        return ""
    return (_WAITING_FOR if state.why else _WAITING) % {"engine": english(executor), "why": state.why}


def does_not_answer(executor: Executor, state: State) -> str:
    """Return, in English, that an engine does not answer, and why."""
    said = _DOES_NOT_ANSWER if state.why else SAYS[Phase.UNKNOWN]
    return said % {"engine": english(executor), "why": state.why}


def english(executor: Executor) -> str:
    """Return what rows and logs call an executor, whatever the language of the thread."""
    with translation.override("en"):
        return executor.title
