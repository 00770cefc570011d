"""A dry run: what a round would train on, how it differs from the last one, how long it would take and how much memory.

Time and memory are scaled from runs of the same method with the same base model that have finished in this
installation. Where there is none nothing is guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from django.utils import timezone

from annotation.errors import NotPossible
from annotation.exports import EXPORTS, Taking
from annotation.models import Project, SnapshotType
from training.actions.rounds import refusal
from training.instructions import data as instructions
from training.instructions.pool import EXAMPLES, examples
from training.methods import METHODS, InstructionTuningConfig
from training.methods.plans import configs_of
from training.models import RunStatus, TrainingRun

RUNS_COMPARED = 5


@dataclass(frozen=True)
class Change:
    setting: str
    before: Any
    now: Any


@dataclass
class Stage:
    """One run of the round. `seconds` and `memory_mb` are None where none of the `compared` earlier runs tells."""

    method: str
    label: str
    rows: int = 0
    unit: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    problem: str = ""
    seconds: float | None = None
    memory_mb: float | None = None
    compared: int = 0
    from_defaults: list[Change] = field(default_factory=list)
    from_round: int | None = None
    since: list[Change] = field(default_factory=list)


@dataclass
class Forecast:
    refusal: str
    stages: list[Stage]

    @property
    def seconds(self) -> float | None:
        """None where that of one stage is not known."""
        known = [stage.seconds for stage in self.stages if stage.seconds is not None]
        return sum(known) if len(known) == len(self.stages) else None

    @property
    def memory_mb(self) -> float | None:
        """Stages run one after the other."""
        return max((stage.memory_mb for stage in self.stages if stage.memory_mb), default=None)


def forecast(*, project: Project, methods: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> Forecast:
    """Raises InvalidConfig as starting the round would. Nothing is written."""
    configs = configs_of(methods, settings)
    stages = []
    data: dict[str, Stage] = {}
    for method, config in zip(methods, configs, strict=True):
        spec = METHODS[method]
        stage = Stage(method, spec.label)
        seen = data.setdefault(spec.data, _data(project, spec.data, config))
        stage.rows, stage.unit, stage.counts, stage.problem = seen.rows, seen.unit, seen.counts, seen.problem
        _compare(stage, project, config)
        stage.from_defaults = _changes(spec.config().as_json(), config)
        if (last := _last_run(project, method)) is not None:
            stage.from_round, stage.since = last.round.number, _changes(last.config, config)
        stages.append(stage)
    return Forecast(refusal(project, methods, configs), stages)


def _data(project: Project, type: str, config: Mapping[str, Any]) -> Stage:
    """Counts of a data type as things stand. A snapshot would have the same rows."""
    if type == EXAMPLES:
        found = Counter(row["id"].partition(":")[0] for row in examples(project))
        counts = {"seed tasks": found["seed"], "accepted proposals": found["proposal"]}
        return Stage("", "", rows=found.total(), unit="examples", counts=counts)
    if type == METHODS["instruction_tuning"].data:
        return _instructions(project, InstructionTuningConfig(**config))
    if type not in SnapshotType.values:
        splits = Counter(project.prompts.values_list("split", flat=True))
        counts = {f"{split} prompts": count for split, count in sorted(splits.items())}
        return Stage("", "", rows=splits.total(), unit="prompts", counts=counts)
    taking = Taking(project, timezone.now())
    try:
        rows = sum(1 for _ in EXPORTS[SnapshotType(type)](taking))
    except NotPossible as why:
        return Stage("", "", unit="rows", problem=str(why))
    return Stage("", "", rows=rows, unit="rows", counts={name: count for name, count in taking.counts.items() if count})


def _instructions(project: Project, config: InstructionTuningConfig) -> Stage:
    try:
        rows = list(instructions.rows_for(project, config))
    except NotPossible as why:
        return Stage("", "", unit="instructions", problem=str(why))
    splits = Counter(row["split"].replace("_", " ") for row in rows)
    return Stage("", "", rows=len(rows), unit="instructions", counts=dict(splits))


def _compare(stage: Stage, project: Project, config: Mapping[str, Any]) -> None:
    runs = TrainingRun.objects.filter(
        method=stage.method, status=RunStatus.SUCCEEDED, round__project__base_model=project.base_model
    ).select_related("snapshot")
    work = METHODS[stage.method].work
    rates, peaks = [], []
    for run in runs.order_by("-finished_at")[:RUNS_COMPARED]:
        done = work(run.config, run.snapshot.rows if run.snapshot else run.progress_total)
        seconds, peak = run.result.get("seconds"), run.result.get("peak_rss_mb")
        if done and seconds:
            rates.append(seconds / done)
        if peak:
            peaks.append(peak)
    if rates:
        stage.compared = len(rates)
        stage.seconds = round(median(rates) * work(config, stage.rows))
    if peaks:
        stage.memory_mb = max(peaks)


def _last_run(project: Project, method: str) -> TrainingRun | None:
    runs = TrainingRun.objects.filter(round__project=project, method=method).select_related("round")
    return runs.order_by("-round__number", "-position").first()


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """A setting that a later version of Prefloop has added differs from nothing."""
    return [
        Change(name, before[name], value) for name, value in now.items() if name in before and before[name] != value
    ]
