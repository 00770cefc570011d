"""Rounds that start by themselves, as an admin has laid down."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from annotation.models import Project

STANDARD_PLAN, STANDARD_PRESET = "reward,ppo,sample", "standard"


class Autopilot(models.Model):
    """When a project trains without being told, on what plan, and how much waiting work is enough."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="autopilot")
    enabled = models.BooleanField(default=False, verbose_name=gettext_lazy("On"))
    every_judgments = models.PositiveIntegerField(
        default=100,
        validators=[MaxValueValidator(10_000_000)],
        verbose_name=gettext_lazy("New annotations"),
        help_text=gettext_lazy("A round starts after this many; 0 = off."),
    )
    every_days = models.PositiveIntegerField(
        default=0,
        validators=[MaxValueValidator(3650)],
        verbose_name=gettext_lazy("Days"),
        help_text=gettext_lazy("A round starts this long after the last one, if there are new annotations; 0 = off."),
    )
    plan = models.CharField(max_length=100, default=STANDARD_PLAN, verbose_name=gettext_lazy("Plan"))
    preset = models.CharField(max_length=20, default=STANDARD_PRESET, verbose_name=gettext_lazy("Effort"))
    like = models.ForeignKey(
        "training.TrainingRound",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=gettext_lazy("Copy settings from"),
        help_text=gettext_lazy("All settings of that round's methods; they take precedence over the effort."),
    )
    max_queue_hours = models.FloatField(
        default=8.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(100_000.0)],
        verbose_name=gettext_lazy("Queue limit, hours"),
        help_text=gettext_lazy("While the queue holds more work than this, a round trains without sampling."),
    )
    owes_sampling = models.BooleanField(
        default=False, editable=False, help_text="Its last round left sampling out because the queue was full."
    )
    said = models.CharField(max_length=500, blank=True, editable=False, help_text="Its last decision, with the reason.")
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
