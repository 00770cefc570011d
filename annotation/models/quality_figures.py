"""The figures of a large project's quality, as a worker last made them."""

from __future__ import annotations

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from annotation import clock
from annotation.models.claim import ClaimQuerySet
from annotation.models.project import Project


class FiguresStatus(models.TextChoices):
    ASKED = "asked", gettext_lazy("Waiting")
    RUNNING = "running", gettext_lazy("Running")
    MADE = "made", gettext_lazy("Made")


class QualityFigures(models.Model):
    """Those for all readers, or for one who may still judge and must not see what others said of some tasks."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="quality_figures")
    reader = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True)
    status = models.CharField(max_length=7, choices=FiguresStatus, default=FiguresStatus.ASKED)
    attempt = models.PositiveIntegerField(default=0)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    asked_at = models.DateTimeField(default=clock.now)
    made_at = models.DateTimeField(null=True, blank=True)
    figures = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)

    objects = ClaimQuerySet["QualityFigures"].as_manager()

    class Meta:
        ordering = ["id"]
        verbose_name = verbose_name_plural = "quality figures"
        constraints = [
            models.UniqueConstraint(
                fields=["project"], condition=Q(reader=None), name="quality_figures_once_for_all_readers"
            ),
            models.UniqueConstraint(
                fields=["project", "reader"], condition=Q(reader__isnull=False), name="quality_figures_once_per_reader"
            ),
        ]
        indexes = [models.Index(fields=["asked_at"], condition=~Q(status="made"), name="quality_figures_to_make")]

    def __str__(self) -> str:
        return f"quality figures of {self.project_id}"
