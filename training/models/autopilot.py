"""Rounds that start by themselves, as an admin has laid down."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from annotation.models import Project

STANDARD_PLAN, STANDARD_PRESET = "reward,ppo,sample", "standard"


class Autopilot(models.Model):
    """When a project trains without being told, on what plan, and how much waiting work is enough."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="autopilot")
    enabled = models.BooleanField(default=False, verbose_name="On")
    every_judgments = models.PositiveIntegerField(
        default=100,
        verbose_name="New judgments",
        help_text="A round starts after this many. 0: their number starts none.",
    )
    every_days = models.PositiveIntegerField(
        default=0,
        verbose_name="Days",
        help_text="A round starts so long after the last one, if anything was judged since. 0: time starts none.",
    )
    plan = models.CharField(max_length=100, default=STANDARD_PLAN, verbose_name="What to run")
    preset = models.CharField(max_length=20, default=STANDARD_PRESET, verbose_name="How thoroughly")
    like = models.ForeignKey(
        "training.TrainingRound",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name="Settings as in",
        help_text="All settings of that round's methods, such as who answers in which share; they go before how "
        "thoroughly.",
    )
    max_queue_hours = models.FloatField(
        default=8.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(100_000.0)],
        verbose_name="Hours of work that may wait",
        help_text="While the queue holds more for people to do, nothing is sampled; a round trains only.",
    )
    owes_sampling = models.BooleanField(
        default=False, editable=False, help_text="Its last round left sampling out because the queue was full."
    )
    said = models.CharField(max_length=500, blank=True, editable=False, help_text="What it decided last, and why.")
    looked_at = models.DateTimeField(null=True, blank=True, editable=False)
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(enabled=False) | Q(every_judgments__gt=0) | Q(every_days__gt=0),
                name="autopilot_has_a_cause",
            )
        ]

    def __str__(self) -> str:
        return f"autopilot of {self.project}: {'on' if self.enabled else 'off'}"

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.plan.split(","))
