"""A dry run: what a round would train on, how it differs from the last one, how long it would take and how much memory.

Time is scaled, and memory taken, from runs of the same method with the same base model that have finished in this
installation; where there is none nothing is guessed. Beside it stands the memory that the model's shape asks for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from django.utils.translation import gettext

from annotation.models import Project
from training import memory
from training.actions.rounds import check_stages, refusal
from training.methods import METHODS, Method
from training.methods.inherited import inherited, with_inherited
from training.methods.labels import setting_label
from training.methods.plans import configs_of
from training.models import TrainingRun
from training.products import product_of
from training.products.chat import inherited_settings
from training.products.data import RowCounts
from training.reports.enough_data import warning

RUNS_COMPARED = 5


@dataclass(frozen=True)
class Change:
    setting: str
    before: Any
    now: Any
    label: str = ""  # of the setting, on pages


@dataclass
class StageForecast:
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
    most_memory_mb: float | None = None  # by the model's shape, with the longest texts that the settings allow
    does_not_fit: str = ""  # on this machine, with what would
    from_defaults: list[Change] = field(default_factory=list)
    from_round: int | None = None
    since: list[Change] = field(default_factory=list)


@dataclass
class Forecast:
    refusal: str
    stages: list[StageForecast]
    warning: str = ""  # it would start, and stop at a gate for want of data

    @property
    def seconds(self) -> float | None:
        """Return the expected seconds; None where those of a stage are unknown."""
        known = [stage.seconds for stage in self.stages if stage.seconds is not None]
        return sum(known) if len(known) == len(self.stages) else None

    @property
    def memory_mb(self) -> float | None:
        """Return the peak memory of the stages, which run one after the other; None where one is unknown."""
        return max((stage.memory_mb for stage in self.stages if stage.memory_mb), default=None)


def forecast(*, project: Project, methods: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> Forecast:
    """Return what a round would train on, take and change, without writing. Raises InvalidConfig."""
    check_stages(methods)
    of_project = inherited_settings(project)
    configs = configs_of(methods, with_inherited(methods, settings, of_project))
    stages = []
    counted: dict[tuple[str, str], RowCounts] = {}
    for method, config in zip(methods, configs, strict=True):
        spec = METHODS[method]
        stage = StageForecast(method, spec.label)
        read = (spec.makes, spec.data)
        if read not in counted:
            counted[read] = product_of(spec).data(spec).count(project, config)
        data = counted[read]
        stage.rows, stage.unit, stage.counts, stage.problem = data.rows, data.unit, dict(data.counts), data.problem
        _compare(stage, project, config)
        _needs(stage, project, config)
        stage.from_defaults = _changes(spec, spec.config(**inherited(method, of_project)).as_json(), config)
        if (last := _last_run(project, method)) is not None:
            stage.from_round, stage.since = last.round.number, _changes(spec, last.config, config)
        stages.append(stage)
    return Forecast(refusal(project, methods, configs), stages, warning(project, methods, configs))


def _compare(stage: StageForecast, project: Project, config: Mapping[str, Any]) -> None:
    runs = TrainingRun.objects.succeeded().filter(method=stage.method, round__project__base_model=project.base_model)
    runs = runs.select_related("snapshot")
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


def _needs(stage: StageForecast, project: Project, config: Mapping[str, Any]) -> None:
    """Fill in what a stage needs by the shape of the base model, on a machine like this one."""
    base = project.policies.filter(number=0).first()
    shape = memory.read_shape(base.checkpoint) if base else None
    if shape is None:
        return
    how = machine(os.environ)
    stage.most_memory_mb = memory.forecast(stage.method, config, shape, **how).as_json()["total"]
    if how["device"] == "cpu" and (free := free_memory()):
        stage.does_not_fit = memory.refusal(stage.method, config, shape, free, **how)


def machine(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the device and the bytes of a weight that a run would take on this machine."""
    device = "cuda" if any(Path("/dev").glob("nvidia[0-9]*")) else "cpu"
    wanted = environment.get("PREFLOOP_PRECISION", "").strip().lower()
    narrow = {"bfloat16": True, "float32": False}.get(wanted, device == "cuda")
    return {"device": device, "state_bytes": 2 if narrow else 4, "four_bit": wanted == "4bit"}


def free_memory() -> int:
    """Return the bytes that are free on this machine; 0 where it does not say."""
    with suppress(OSError, ValueError, IndexError):
        words = Path("/proc/meminfo").read_text("utf-8").split()
        return int(words[words.index("MemAvailable:") + 1]) * 1024
    return 0


def _last_run(project: Project, method: str) -> TrainingRun | None:
    runs = TrainingRun.objects.filter(round__project=project, method=method).select_related("round")
    return runs.order_by("-round__number", "-position").first()


def _changes(spec: Method, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Return the settings whose values differ; those that the earlier run did not have yet are left out."""
    return [
        Change(name, before[name], value, gettext(setting_label(spec.config, name)))
        for name, value in now.items()
        if name in before and before[name] != value
    ]
