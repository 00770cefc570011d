"""What the data browser keeps: saved views of its lists, and what was changed of a record by hand."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy

from annotation.models.project import Project


class RecordKind(models.TextChoices):
    PROMPT = "prompt", gettext_lazy("Prompt")
    RESPONSE = "response", gettext_lazy("Response")
    TASK = "task", gettext_lazy("Task")


class SavedView(models.Model):
    """A list with its search, filters and sort under a name; `query` is the query string of its page."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="saved_views")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views")
    name = models.CharField(max_length=60)
    records = models.CharField(max_length=20, help_text="Which list.")
    query = models.TextField(blank=True)
    shared = models.BooleanField(default=False, help_text="Every reviewer and admin of the project sees it.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "owner", "records", "name"], name="saved_view_once_per_name")
        ]

    def __str__(self) -> str:
        return self.name


class RecordChange(models.Model):
    """One change of a prompt, a response or a task by hand, for the history of its page."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="record_changes")
    record = models.CharField(max_length=8, choices=RecordKind)
    record_id = models.BigIntegerField()
    what = models.CharField(max_length=300)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    subject = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The person it was about, such as whom a task was assigned to.",
    )
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["record", "record_id"], name="changes_of_a_record")]

    def __str__(self) -> str:
        return self.what
