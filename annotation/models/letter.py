"""Mail to members: `annotation.actions.letters` says how a letter moves."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from annotation.models.project import Project
from annotation.models.webhook import DeliveryStatus


class Letter(models.Model):
    """One letter to one person, written in the transaction of what it tells.

    `attempts` is the fencing token, as a delivery's is. The address is that of the account when the letter is sent.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="letters")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="letters")
    subject = models.CharField(max_length=200)
    body = models.TextField()
    status = models.CharField(max_length=9, choices=DeliveryStatus, default=DeliveryStatus.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now, help_text="While one is made: when it counts as lost.")
    last_answer = models.TextField(blank=True, help_text="Why the last attempt did not succeed.")
    finished_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status=DeliveryStatus.PENDING, finished_at=None)
                | Q(status__in=[DeliveryStatus.DELIVERED, DeliveryStatus.FAILED], finished_at__isnull=False),
                name="letter_final_means_finished_at",
            ),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(status=DeliveryStatus.PENDING), name="letter_pending")
        ]

    def __str__(self) -> str:
        return f"{self.subject} to {self.user}"
