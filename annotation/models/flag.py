"""Flags: problems that people report about a text, and how a reviewer settled them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from annotation.models.project import Project
from annotation.models.text import Completion, Prompt


class FlagReason(models.TextChoices):
    HARMFUL = "harmful", gettext_lazy("Harmful")
    PERSONAL_DATA = "personal-data", gettext_lazy("Personal data")
    BROKEN = "broken", gettext_lazy("Broken text")
    LANGUAGE = "language", gettext_lazy("Wrong language")
    OFF_TOPIC = "off-topic", gettext_lazy("Off topic")
    OTHER = "other", gettext_lazy("Other")


class FlagStatus(models.TextChoices):
    OPEN = "open", gettext_lazy("Open")
    DISMISSED = "dismissed", gettext_lazy("Dismissed")  # the text is fine
    WITHDRAWN = "withdrawn", gettext_lazy("Withdrawn")  # the text is in no new task


class Flag(models.Model):
    """On a prompt or on one answer to it, never on both."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="flags")
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, null=True, blank=True, related_name="flags")
    completion = models.ForeignKey(Completion, on_delete=models.CASCADE, null=True, blank=True, related_name="flags")
    raised_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="flags")
    reason = models.CharField(max_length=13, choices=FlagReason)
    note = models.CharField(max_length=500, blank=True)
    status = models.CharField(max_length=9, choices=FlagStatus, default=FlagStatus.OPEN)
    settled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="settled_flags"
    )
    settled_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(prompt__isnull=False, completion=None) | Q(prompt=None, completion__isnull=False),
                name="flag_on_one_text",
            ),
            models.UniqueConstraint(
                fields=["raised_by", "prompt"], condition=Q(prompt__isnull=False), name="one_flag_per_prompt"
            ),
            models.UniqueConstraint(
                fields=["raised_by", "completion"],
                condition=Q(completion__isnull=False),
                name="one_flag_per_completion",
            ),
            models.CheckConstraint(
                condition=Q(status=FlagStatus.OPEN, settled_at=None, settled_by=None)
                | (~Q(status=FlagStatus.OPEN) & Q(settled_at__isnull=False, settled_by__isnull=False)),
                name="flag_settled_by_somebody",
            ),
        ]
        indexes = [models.Index(fields=["project", "id"], condition=Q(status=FlagStatus.OPEN), name="open_flags")]

    def __str__(self) -> str:
        return f"{self.get_reason_display()}: {self.text}"

    @property
    def text(self) -> str:
        if self.completion is not None:
            return self.completion.text
        assert self.prompt is not None  # the database's own rule
        return self.prompt.last_message
