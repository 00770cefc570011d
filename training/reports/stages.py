"""How far the stages of a round are: what each does now or waits for, for how long, and how long it still takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext

from training.models import RoundStatus, RunStatus, TrainingRound, TrainingRun
from training.rundir import BASELINE, EVALUATING, LEARNING_CURVE, LOADING, SAVING

WITHOUT_PROGRESS = {LOADING, BASELINE, EVALUATING, LEARNING_CURVE, SAVING}  # phases in which no step is counted
WAITING = "waiting"


@dataclass(frozen=True)
class StageState:
    """A run as the page of its round shows it. `state` is a status, or "waiting" for a stage whose turn has not come.

    `percent` is None where the end of what it does now is not known, and `seconds_left` where nothing was measured yet.
    """

    run: TrainingRun
    state: str
    label: str
    doing: str = ""
    elapsed: float | None = None
    percent: int | None = None
    is_counting: bool = False
    seconds_left: float | None = None

    @property
    def is_running(self) -> bool:
        return self.state == RunStatus.RUNNING


def stages_of(round: TrainingRound, runs: Sequence[TrainingRun], now: datetime | None = None) -> list[StageState]:
    """Return the stages of a round in their order."""
    return list(_stages(round, runs, now or timezone.now()))


def _stages(round: TrainingRound, runs: Sequence[TrainingRun], now: datetime) -> Iterator[StageState]:
    before: TrainingRun | None = None
    for run in runs:
        if run.status == RunStatus.RUNNING:
            yield _running(round, run, now)
        elif run.status == RunStatus.QUEUED:
            yield _queued(round, run, before)
        else:
            yield StageState(
                run, run.status, run.get_status_display(), elapsed=_seconds(run.started_at, run.finished_at)
            )
        before = run


def _running(round: TrainingRound, run: TrainingRun, now: datetime) -> StageState:
    elapsed = _seconds(run.started_at, now)
    if round.status == RoundStatus.PAUSED:
        return StageState(
            run, RoundStatus.PAUSED, gettext("Pausing"), gettext("Its process ends within seconds."), elapsed
        )
    is_counting = run.progress_total > 0 and run.phase not in WITHOUT_PROGRESS
    return StageState(
        run,
        run.status,
        run.get_status_display(),
        run.phase or LOADING,
        elapsed,
        percent=run.percent if is_counting else None,
        is_counting=is_counting,
        seconds_left=_seconds_left(run, now) if is_counting else None,
    )


def _seconds_left(run: TrainingRun, now: datetime) -> float | None:
    """Return how long the counted steps still take at the measured pace; None where that is not known, or was wrong."""
    if run.seconds_each is None or run.progressed_at is None:
        return None
    since = (now - run.progressed_at).total_seconds()
    left = (run.progress_total - run.progress_done) * run.seconds_each - since
    return left if left > 0 else None


def _queued(round: TrainingRound, run: TrainingRun, before: TrainingRun | None) -> StageState:
    if round.status == RoundStatus.PAUSED:
        return StageState(run, RoundStatus.PAUSED, gettext("Paused"), gettext("Continues when the round is resumed."))
    if before is not None and before.status != RunStatus.SUCCEEDED:
        return StageState(
            run, WAITING, gettext("Waiting"), gettext("Starts after: %(stage)s") % {"stage": before.title}
        )
    if round.status == RoundStatus.STOPPED:
        return StageState(run, WAITING, gettext("Waiting"), gettext("The round stopped at the quality gate before it."))
    doing = (
        gettext("Waits for a worker, and continues where it stopped.")
        if run.attempt
        else gettext("Waits for a worker.")
    )
    return StageState(run, RunStatus.QUEUED, run.get_status_display(), run.phase or doing)  # a phase: why it waits


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if start and end else None
