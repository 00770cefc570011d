"""The cord that anybody at work may pull when a model's answers have gone wrong as a whole."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation.models.project import Project


class Alarm(models.Model):
    """While one is open nothing is sampled. At most one is open per project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="alarms")
    raised_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="alarms")
    note = models.CharField(max_length=500)
    created_at = models.DateTimeField(auto_now_add=True)
    settled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="settled_alarms"
    )
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project"], condition=Q(settled_at=None), name="one_open_alarm_per_project"
            ),
            models.CheckConstraint(
                condition=Q(settled_at=None, settled_by=None) | Q(settled_at__isnull=False, settled_by__isnull=False),
                name="alarm_settled_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.raised_by}: {self.note}"
