"""Former versions of annotations: what one said before it was reopened."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation.models.task import Assignment


class Revision(models.Model):
    """An annotation as it was submitted, before its author undid it or a reviewer sent it back for correction.

    It is open until the assignment is submitted or skipped again. `answer` has the names of `TaskKind.stored`.
    """

    assignment = models.ForeignKey(Assignment, on_delete=models.CASCADE, related_name="revisions")
    answer = models.JSONField(default=dict)
    client_uuid = models.UUIDField(help_text="Of the submit that stored it.")
    active_ms = models.PositiveIntegerField(default=0)
    submitted_at = models.DateTimeField()
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The reviewer who sent it back; none where its author undid it.",
    )
    reason = models.TextField(blank=True, help_text="What the reviewer asks to be corrected.")
    reopened_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["assignment"], condition=Q(closed_at=None), name="one_open_revision_per_assignment"
            ),
            models.CheckConstraint(condition=Q(asked_by=None) | ~Q(reason=""), name="sent_back_for_a_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.assignment}, as of {self.submitted_at:%Y-%m-%d %H:%M}"
