"""The versions of a project's guidelines. The newest is the text that the project has."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation.models.project import Project
from annotation.models.querysets import NumberedQuerySet


class GuidelinesVersion(models.Model):
    """A text of a project's guidelines, as it stood until the next version."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="guidelines_versions")
    number = models.PositiveIntegerField(help_text="From 1 on, within the project.")
    text = models.TextField(blank=True)
    written_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty for those that were there before versions were kept.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = NumberedQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="guidelines_number_once_per_project"),
            models.CheckConstraint(condition=Q(number__gte=1), name="guidelines_are_numbered_from_1"),
        ]

    def __str__(self) -> str:
        return f"guidelines {self.number} of {self.project_id}"
