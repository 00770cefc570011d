"""Getting the base model of a project ready: asked for on a page, done by a worker."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy

from annotation.models import Project
from annotation.models.claim import ClaimQuerySet


class PreparationStatus(models.TextChoices):
    QUEUED = "queued", gettext_lazy("Queued")
    RUNNING = "running", gettext_lazy("Being prepared")
    READY = "ready", gettext_lazy("Ready")
    FAILED = "failed", gettext_lazy("Failed")


class Preparation(models.Model):
    """The check, download and conversion of one project's base model, which ends with version 0 of its policy."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, related_name="preparation")
    model = models.CharField(max_length=500, help_text="Hugging Face id or local path, as the project named it.")
    status = models.CharField(max_length=7, choices=PreparationStatus, default=PreparationStatus.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    phase = models.CharField(max_length=300, blank=True, help_text="What the worker does now, in words.")
    percent = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Of this phase, where it is known.")
    error = models.TextField(blank=True)
    asked_at = models.DateTimeField(default=timezone.now)

    objects = ClaimQuerySet["Preparation"].as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(status=PreparationStatus.RUNNING) | Q(heartbeat_at__isnull=False),
                name="running_preparation_has_a_heartbeat",
            ),
            models.CheckConstraint(
                condition=Q(percent__isnull=True) | Q(percent__lte=100), name="preparation_percent_at_most_100"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model}: {self.status}"

    @property
    def is_moving(self) -> bool:
        return self.status in (PreparationStatus.QUEUED, PreparationStatus.RUNNING)
