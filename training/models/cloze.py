"""Templates and verbalizers of a project. A change is a new version: runs name the one that they were given."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from annotation.models import Project
from training.prompt_tuning import cloze


class TemplateVersion(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="templates")
    name = models.CharField(max_length=60)
    version = models.PositiveIntegerField(default=1)
    body = models.TextField(max_length=cloze.LONGEST)
    language = models.CharField(max_length=20, blank=True, help_text="Language code, such as en, de or zh.")
    notes = models.CharField(max_length=500, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name", "version"], name="template_version_once_per_name")
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.version})"

    @property
    def template(self) -> cloze.Template:
        return cloze.Template.parse(self.body)

    def as_input(self) -> dict[str, object]:
        """Return the template as a run's inputs hold it."""
        return {"id": self.pk, "name": self.name, "version": self.version, "body": self.body}


class VerbalizerVersion(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="verbalizers")
    name = models.CharField(max_length=60)
    version = models.PositiveIntegerField(default=1)
    words = models.JSONField(help_text="Label to its label words.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name", "version"], name="verbalizer_version_once_per_name")
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.version})"

    @property
    def verbalizer(self) -> cloze.Verbalizer:
        return cloze.Verbalizer(self.words)

    def as_input(self) -> dict[str, object]:
        return {"id": self.pk, "name": self.name, "version": self.version, "words": self.words}
