"""Rounds, their runs, and what these log."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from annotation import clock
from annotation.models import DatasetSnapshot, PolicyVersion, Project
from annotation.models.claim import ClaimQuerySet
from annotation.models.querysets import NumberedQuerySet
from training.executors import EXECUTORS
from training.methods import METHODS, Method, making
from training.methods.base import unknown
from training.models.compute import StageCompute
from training.prompt_tuning.approaches import APPROACHES, approach_of
from training.rundir import RunDir


class RunStatus(models.TextChoices):
    QUEUED = "queued", gettext_lazy("Queued")
    RUNNING = "running", gettext_lazy("Running")
    SUCCEEDED = "succeeded", gettext_lazy("Succeeded")
    FAILED = "failed", gettext_lazy("Failed")
    CANCELLED = "cancelled", gettext_lazy("Cancelled")


class RoundStatus(models.TextChoices):
    """As RunStatus, and two in which a round waits for an admin."""

    QUEUED = "queued", gettext_lazy("Queued")
    RUNNING = "running", gettext_lazy("Running")
    SUCCEEDED = "succeeded", gettext_lazy("Succeeded")
    FAILED = "failed", gettext_lazy("Failed")
    CANCELLED = "cancelled", gettext_lazy("Cancelled")
    STOPPED = "stopped", gettext_lazy("Stopped at a gate")  # an admin decides whether it goes on
    PAUSED = "paused", gettext_lazy("Paused")  # by an admin or an alarm, until an admin resumes it


# Of rounds and runs: these statuses have the same values in both.
ACTIVE = [RunStatus.QUEUED, RunStatus.RUNNING]
FINAL = [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED]
WAITING = [RoundStatus.STOPPED, RoundStatus.PAUSED]
# RUNNING to QUEUED is a run whose worker went away: another attempt resumes it. FAILED and CANCELLED to QUEUED are runs
# of a round that is tried again.
RUN_MOVES: dict[RunStatus, list[RunStatus]] = {
    RunStatus.QUEUED: [RunStatus.RUNNING, RunStatus.CANCELLED],
    RunStatus.RUNNING: [RunStatus.QUEUED, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED],
    RunStatus.FAILED: [RunStatus.QUEUED],
    RunStatus.CANCELLED: [RunStatus.QUEUED],
}
# STOPPED, PAUSED and FAILED to RUNNING are an admin's decision.
ROUND_MOVES: dict[RoundStatus, list[RoundStatus]] = {
    RoundStatus.QUEUED: [RoundStatus.RUNNING, RoundStatus.CANCELLED, RoundStatus.PAUSED],
    RoundStatus.RUNNING: [
        RoundStatus.SUCCEEDED,
        RoundStatus.FAILED,
        RoundStatus.CANCELLED,
        RoundStatus.STOPPED,
        RoundStatus.PAUSED,
    ],
    RoundStatus.STOPPED: [RoundStatus.RUNNING, RoundStatus.CANCELLED],
    RoundStatus.PAUSED: [RoundStatus.RUNNING, RoundStatus.CANCELLED, RoundStatus.FAILED],
    RoundStatus.FAILED: [RoundStatus.RUNNING],
}


def runs_may_be(status: RunStatus) -> list[RunStatus]:
    """Return the statuses from which a run may move to `status`: the condition of the UPDATE that moves it."""
    return [origin for origin, goals in RUN_MOVES.items() if status in goals]


def rounds_may_be(status: RoundStatus) -> list[RoundStatus]:
    """Return the statuses from which a round may move to `status`: the condition of the UPDATE that moves it."""
    return [origin for origin, goals in ROUND_MOVES.items() if status in goals]


def _finished_iff_final(name: str, unfinished: Sequence[str]) -> models.CheckConstraint:
    return models.CheckConstraint(
        condition=Q(status__in=unfinished, finished_at=None) | Q(status__in=FINAL, finished_at__isnull=False),
        name=name,
    )


class RoundQuerySet(NumberedQuerySet["TrainingRound"]):
    def active(self) -> Self:
        """Return the rounds that run or wait for a worker: at most one of each project."""
        return self.filter(status__in=ACTIVE)


class TrainingRound(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="rounds")
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=9, choices=RoundStatus, default=RoundStatus.QUEUED)
    reason = models.CharField(max_length=500, blank=True, help_text="Why it stopped, where it did not succeed.")
    autopilot_reason = models.CharField(
        max_length=500, blank=True, help_text="Why the autopilot started it; empty where a person did."
    )
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    notes = models.TextField(max_length=4000, blank=True)
    tags = models.JSONField(default=list, blank=True, help_text="Short words to find it by.")
    is_baseline = models.BooleanField(default=False, help_text="The round that others are compared with.")

    objects = RoundQuerySet.as_manager()

    class Meta:
        ordering = ["project", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="round_number_once_per_project"),
            models.UniqueConstraint(
                fields=["project"], condition=Q(status__in=ACTIVE), name="one_active_round_per_project"
            ),
            models.UniqueConstraint(
                fields=["project"], condition=Q(is_baseline=True), name="one_baseline_round_per_project"
            ),
            _finished_iff_final("round_final_means_finished_at", [*ACTIVE, *WAITING]),
        ]

    def __str__(self) -> str:
        return f"round {self.number}"

    def get_absolute_url(self) -> str:
        return reverse("round", args=[self.project.slug, self.number])

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE

    @property
    def is_stopped(self) -> bool:
        return self.status == RoundStatus.STOPPED

    @property
    def is_over(self) -> bool:
        return self.status in FINAL


class RunQuerySet(ClaimQuerySet["TrainingRun"]):
    fence: ClassVar[tuple[str, ...]] = ("status", "attempt", "heartbeat_at", "started_at")

    def changes_on_claim(self, read: dict[str, Any]) -> dict[str, Any]:
        """Return a sign of life, and when the run started: the time it waited since its last attempt is left out.

        All by the database's clock, as hosts differ.
        """
        began, worked_until = read["started_at"], read["heartbeat_at"]
        now = clock.now()
        idle = now - worked_until if worked_until else timedelta()
        return {"heartbeat_at": now, "started_at": began + idle if began else now, "submission": new_submission()}

    def succeeded(self) -> Self:
        return self.filter(status=RunStatus.SUCCEEDED)

    def making(self, *products: str) -> Self:
        """Return the runs whose method makes one of these products."""
        return self.filter(method__in=making(*products))


def new_key() -> str:
    """Return what tells a run from one of another database that had the same number."""
    return secrets.token_hex(5)


def new_submission() -> str:
    """Return a name that no other claim of any run has."""
    return secrets.token_hex(8)


class TrainingRun(models.Model):
    round = models.ForeignKey(TrainingRound, on_delete=models.CASCADE, related_name="runs")
    position = models.PositiveSmallIntegerField(help_text="Order of the runs of a round.")
    method = models.CharField(max_length=30)
    config = models.JSONField(default=dict)
    inputs = models.JSONField(default=dict, blank=True, help_text="Inputs beside models and data.")
    snapshot = models.ForeignKey(
        DatasetSnapshot,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="runs",
        help_text="The annotations it trains on, where its method uses any.",
    )
    status = models.CharField(max_length=9, choices=RunStatus, default=RunStatus.QUEUED)
    key = models.CharField(
        max_length=10,
        default=new_key,
        db_default="",
        editable=False,
        help_text="In the name of its folder; empty in old rows.",
    )
    executor = models.CharField(
        max_length=30, blank=True, db_default="", help_text="Where it runs; empty: as the worker's settings say."
    )
    resources = models.JSONField(
        default=dict, null=True, blank=True, help_text="CPUs, GPUs, memory and time that its executor is asked for."
    )
    job = models.CharField(
        max_length=80,
        blank=True,
        db_default="",
        editable=False,
        help_text="executor:submission of its job on another machine, until that one is over.",
    )
    attempt = models.PositiveSmallIntegerField(default=0)
    submission = models.CharField(
        max_length=40,
        blank=True,
        db_default="",
        editable=False,
        help_text="Which claim of it is in force: no other one may write.",
    )
    attempts_before_retry = models.PositiveSmallIntegerField(
        default=0, help_text="Attempts before an admin retried the round: they do not count."
    )
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    progress_unit = models.CharField(max_length=30, blank=True)
    progressed_at = models.DateTimeField(null=True, blank=True, help_text="When progress_done last grew.")
    seconds_each = models.FloatField(
        null=True, blank=True, help_text="Measured seconds of a unit of progress, smoothed; null until it is known."
    )
    phase = models.CharField(
        max_length=300, blank=True, help_text="What its recipe says that it does now, or why it waits."
    )
    result = models.JSONField(default=dict, blank=True)
    error = models.TextField(blank=True)
    policy = models.OneToOneField(
        PolicyVersion,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="made_by",
        help_text="The version this run made.",
    )
    gate_overridden_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Who overrode the failed quality gate of this run.",
    )
    gate_overridden_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    computed: Any = None  # by `Product.before_settling`; not stored
    measured: tuple[datetime, int] | None = None  # when an attempt last progressed, and how far; not stored

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["round", "position"]
        constraints = [
            models.UniqueConstraint(fields=["round", "position"], name="one_run_per_position"),
            _finished_iff_final("run_final_means_finished_at", ACTIVE),
        ]
        indexes = [models.Index(fields=["status", "heartbeat_at"])]

    def __str__(self) -> str:
        return f"{self.round} {self.method}"

    @property
    def spec(self) -> Method:
        return METHODS.get(self.method) or unknown(self.method)

    @property
    def label(self) -> str:
        return gettext(self.spec.label)

    @property
    def title(self) -> str:
        """Return its label, or the approach that its settings are; several of them may run in one round."""
        name = approach_of(self.config)
        if not name:
            return self.label
        label = gettext(APPROACHES[name].label)
        if not APPROACHES[name].learns:
            return label
        return gettext("%(label)s, seed %(seed)s") % {"label": label, "seed": self.config["seed"]}

    @property
    def closed_gate(self) -> str:
        """Return why the output of this run may not be trained on; empty where its gate is open or overridden."""
        gate = self.result.get("gate", {})
        if gate.get("passed", True) or self.gate_overridden_at:
            return ""
        if self.config.get("gate") != "stop" and not (self.keeps_nothing and self._is_compared_next()):
            return ""
        return str(gate["reason"])

    def _is_compared_next(self) -> bool:
        """Return whether the round would go on to compare a version that this run has not made."""
        return self.round.runs.making("comparisons").filter(position__gt=self.position).exists()

    @property
    def keeps_nothing(self) -> bool:
        """Whether the policy that it started from was the best that it saw."""
        return bool(self.result.get("selected", {}).get("step") == 0)

    @property
    def directory(self) -> RunDir:
        return RunDir(Path(settings.RUN_DIR) / (f"{self.pk}-{self.key}" if self.key else str(self.pk)))

    @property
    def percent(self) -> int:
        if self.status == RunStatus.SUCCEEDED:
            return 100
        return 100 * self.progress_done // self.progress_total if self.progress_total else 0

    @property
    def compute_in_words(self) -> str:
        """Return the executor and what the run asks it for."""
        labels = {field.name: field.verbose_name for field in StageCompute._meta.fields}
        asked = [f"{labels[name]}: {value}" for name, value in (self.resources or {}).items()]
        executor = EXECUTORS[self.executor].title if self.executor in EXECUTORS else self.executor
        return "; ".join([executor, *asked] if executor else asked)

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE

    @property
    def may_be_tried_again(self) -> bool:
        return self.attempt - self.attempts_before_retry < settings.TRAINING_MAX_ATTEMPTS


class Metric(models.Model):
    """One figure of one step. PPO has the names of lm-human-preferences; units are in docs/metrics.md."""

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="metrics")
    step = models.PositiveIntegerField()
    name = models.CharField(max_length=60)
    value = models.FloatField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name", "step"], name="metric_once_per_step")]

    def __str__(self) -> str:
        return f"{self.name}[{self.step}] = {self.value:g}"
