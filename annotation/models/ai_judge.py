"""AI judges: models that compare responses, as annotators of their own kind, with tables of their own."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils.translation import gettext_lazy

from annotation.models.claim import ClaimQuerySet, next_turn
from annotation.models.project import Project
from annotation.models.querysets import NumberedQuerySet
from annotation.models.task import Task
from annotation.models.text import Completion

MILLION = 1_000_000
MOST_PAIRS = 20_000  # of one run
LONGEST_RUBRIC = 20_000  # characters
LONGEST_VERDICT = 100_000  # tokens
HIGHEST_PRICE = 1_000_000
VERSION_FIELDS = ("server", "model", "rubric", "temperature", "max_tokens")  # what makes two versions the same


def _price(name: Any, help_text: Any) -> models.DecimalField[Decimal | str | None, Decimal | None]:
    validators = [MinValueValidator(0), MaxValueValidator(HIGHEST_PRICE)]
    return models.DecimalField(
        name, max_digits=12, decimal_places=4, null=True, blank=True, validators=validators, help_text=help_text
    )


class AIJudge(models.Model):
    """A judge of a project under a name. What it is asked, and by which model, is in its versions."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="ai_judges")
    name = models.CharField(gettext_lazy("Name"), max_length=100)
    input_price = _price(
        gettext_lazy("Price of input"),
        gettext_lazy("Per million tokens, in your currency. Leave both blank: costs are in tokens only."),
    )
    output_price = _price(gettext_lazy("Price of output"), gettext_lazy("Per million tokens."))
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name = "AI judge"
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="ai_judge_name_once_per_project"),
            models.CheckConstraint(
                condition=Q(input_price=None, output_price=None) | Q(input_price__gte=0, output_price__gte=0),
                name="ai_judge_has_both_prices_or_none",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("judge", args=[self.project.slug, self.pk])

    def cost(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return what so many tokens cost; None where the judge has no price."""
        if self.input_price is None or self.output_price is None:
            return None
        return float(self.input_price * input_tokens + self.output_price * output_tokens) / MILLION


class AIJudgeVersion(models.Model):
    """What a judge is: its server, model and rubric. The database lets nobody change one (trigger of its migration).

    A migration that alters this table has SQLite make it anew and must create the trigger again.
    """

    judge = models.ForeignKey(AIJudge, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField(help_text="From 1 on, within the judge.")
    server = models.CharField(gettext_lazy("Model server"), max_length=500)
    model = models.CharField(
        gettext_lazy("Model"),
        max_length=200,
        blank=True,
        help_text=gettext_lazy("Its name on the server. Leave blank where the server has one model."),
    )
    rubric = models.TextField(
        gettext_lazy("Rubric"),
        help_text=gettext_lazy(
            "What makes a response better. The conversation, both responses and the form of the verdict are added."
        ),
    )
    temperature = models.FloatField(
        gettext_lazy("Temperature"),
        default=0.0,
        validators=[MinValueValidator(0), MaxValueValidator(2)],
        help_text=gettext_lazy("0: the same verdict each time, as far as the server does that."),
    )
    max_tokens = models.PositiveIntegerField(
        gettext_lazy("Longest verdict"),
        default=1024,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_VERDICT)],
        help_text=gettext_lazy("In tokens, the reasoning of the model included."),
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = NumberedQuerySet["AIJudgeVersion"].as_manager()

    class Meta:
        ordering = ["judge", "-number"]
        verbose_name = "AI judge version"
        constraints = [
            models.UniqueConstraint(fields=["judge", "number"], name="ai_judge_version_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="ai_judge_versions_from_1"),
            models.CheckConstraint(condition=~Q(rubric="") & ~Q(server=""), name="ai_judge_version_is_whole"),
            models.CheckConstraint(
                condition=Q(temperature__gte=0, temperature__lte=2), name="ai_judge_temperature_from_0_to_2"
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.number}"


class AIJudgeRunStatus(models.TextChoices):
    """Where a run is: QUEUED ⇄ RUNNING → DONE, FAILED or CANCELLED; the last two can be resumed."""

    QUEUED = "queued", gettext_lazy("Waiting")
    RUNNING = "running", gettext_lazy("Running")
    DONE = "done", gettext_lazy("Finished")
    FAILED = "failed", gettext_lazy("Failed")
    CANCELLED = "cancelled", gettext_lazy("Cancelled")


ACTIVE_RUNS = (AIJudgeRunStatus.QUEUED, AIJudgeRunStatus.RUNNING)


class AIJudgeRunQuerySet(ClaimQuerySet["AIJudgeRun"]):
    """Runs that several workers take on."""

    def active(self) -> AIJudgeRunQuerySet:
        """Return the runs that a worker has, or will have."""
        return self.filter(status__in=ACTIVE_RUNS)

    def queue(self, **changes: Any) -> int:
        """Let a worker take these runs again, with further `changes`; return how many there were."""
        return self.update(status=AIJudgeRunStatus.QUEUED, attempt=next_turn(), **changes)


class AIJudgeRun(models.Model):
    """One version of a judge at work on pairs. `attempt` is the fencing token of its worker.

    A calibration asks about pairs that people have judged. A takeover asks about those of tasks that nobody has judged
    yet, in a slice on which the judge was reliable when it began; a random share of these tasks is left to people. An
    audit (`audit_of`) asks about what people have judged of this share: where the judge has become worse, it loses the
    slice.

    Its pairs are rows from the start (`planned`), so that a run which was cut off goes on with those that are open.
    """

    version = models.ForeignKey(AIJudgeVersion, on_delete=models.CASCADE, related_name="runs")
    most_pairs = models.PositiveIntegerField(help_text="Pairs to judge at most.")
    takeover = models.BooleanField(default=False, help_text="Whether its pairs are of tasks that nobody has judged.")
    dimension = models.CharField(max_length=20, blank=True, help_text="Of the slice of a takeover; empty: all pairs.")
    value = models.CharField(max_length=100, blank=True, help_text="The slice of a takeover.")
    audit_share = models.FloatField(
        default=0.0,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="Share of a takeover's tasks that is left to people.",
    )
    audit_of = models.ForeignKey(
        "self",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="audits",
        help_text="The takeover whose audit share it asks about.",
    )
    audited_at = models.DateTimeField(
        null=True, blank=True, help_text="When a worker last looked at the audit share of a takeover; empty: it is due."
    )
    audit = models.JSONField(
        default=dict, blank=True, help_text="The judge's agreement in the audit share less people's, as a figure."
    )
    taken_back_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Since then the version has the slice no more: it was worse in the audit share.",
    )
    planned = models.BooleanField(default=False, help_text="Whether its pairs are chosen.")
    status = models.CharField(max_length=9, choices=AIJudgeRunStatus, default=AIJudgeRunStatus.QUEUED)
    attempt = models.PositiveIntegerField(default=0)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    resumed_at = models.DateTimeField(null=True, blank=True, help_text="When an admin last resumed it.")
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = AIJudgeRunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "AI judge run"
        constraints = [
            models.UniqueConstraint(
                fields=["version"], condition=Q(status__in=ACTIVE_RUNS), name="one_active_run_per_ai_judge_version"
            ),
            models.CheckConstraint(
                condition=Q(most_pairs__gte=1, most_pairs__lte=MOST_PAIRS), name="ai_judge_run_is_bounded"
            ),
            models.CheckConstraint(
                condition=Q(takeover=False, dimension="", value="", audit_share=0)
                | Q(takeover=True, audit_share__gt=0, audit_share__lte=1),
                name="ai_judge_takeover_leaves_an_audit_share",
            ),
            models.CheckConstraint(
                condition=Q(status__in=ACTIVE_RUNS, finished_at=None)
                | (~Q(status__in=ACTIVE_RUNS) & Q(finished_at__isnull=False)),
                name="ai_judge_run_final_means_finished_at",
            ),
            models.CheckConstraint(
                condition=Q(takeover=True, audit_of=None) | Q(takeover=False, audited_at=None, taken_back_at=None),
                name="ai_judge_audits_are_of_takeovers",
            ),
        ]
        indexes = [models.Index(fields=["status", "id"], name="ai_judge_runs_by_status")]

    def __str__(self) -> str:
        return f"AI judge run {self.pk}"

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE_RUNS


class AIJudgmentQuerySet(models.QuerySet["AIJudgment"]):
    def waiting(self) -> AIJudgmentQuerySet:
        """Return the pairs that are still to be asked."""
        return self.filter(settled_at=None)

    def usable(self) -> AIJudgmentQuerySet:
        """Return the pairs on which the judge has said something."""
        return self.filter(choice__isnull=False)


class AIJudgment(models.Model):
    """What one version of a judge said of two responses of a task; written once (trigger of its migration).

    It is asked in both orders. `forward` is its verdict with `first` shown first, `backward` with `second` shown first;
    both are about the responses: 1 where `first` is better, -1 where `second` is, 0 for a tie. `choice` is what both
    say; where they differ it is a tie. Without a verdict `problem` says why.
    """

    run = models.ForeignKey(AIJudgeRun, on_delete=models.CASCADE, related_name="judgments")
    version = models.ForeignKey(AIJudgeVersion, on_delete=models.CASCADE, related_name="judgments")
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="ai_judgments")
    first = models.ForeignKey(Completion, on_delete=models.CASCADE, related_name="+")
    second = models.ForeignKey(Completion, on_delete=models.CASCADE, related_name="+")
    repeat = models.PositiveSmallIntegerField(default=0, help_text="1: asked again, for self-consistency.")
    forward = models.SmallIntegerField(null=True, blank=True)
    backward = models.SmallIntegerField(null=True, blank=True)
    choice = models.SmallIntegerField(null=True, blank=True)
    problem = models.CharField(max_length=300, blank=True)
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    settled_at = models.DateTimeField(null=True, blank=True)

    objects = AIJudgmentQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        verbose_name = "AI judgment"
        constraints = [
            models.UniqueConstraint(fields=["version", "task", "first", "second", "repeat"], name="ai_judgment_once"),
            models.CheckConstraint(condition=Q(first__lt=F("second")), name="ai_judgment_in_order"),
            models.CheckConstraint(condition=Q(repeat__lte=1), name="ai_judgment_repeated_once"),
            models.CheckConstraint(
                condition=Q(settled_at=None, choice=None, problem="")
                | Q(settled_at__isnull=False, choice=None) & ~Q(problem="")
                | Q(settled_at__isnull=False, choice__isnull=False, choice__in=[-1, 0, 1], problem=""),
                name="ai_judgment_settled_once",
            ),
            models.CheckConstraint(
                condition=Q(choice=None)
                | Q(forward__isnull=False, backward__isnull=False, forward=F("backward"), choice=F("forward"))
                | (
                    Q(forward__isnull=False, backward__isnull=False, choice=0)
                    & Q(forward__in=[-1, 0, 1], backward__in=[-1, 0, 1])
                    & ~Q(forward=F("backward"))
                ),
                name="ai_judgment_is_what_both_orders_say",
            ),
        ]
        indexes = [models.Index(fields=["run", "settled_at"], name="ai_judgments_waiting")]

    def __str__(self) -> str:
        return f"{self.first_id} and {self.second_id} by {self.version_id}"
