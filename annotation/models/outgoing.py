"""What mail and webhook deliveries have in common. `annotation.delivery.queue` says how they move."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Self, TypeVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy

from annotation import clock
from annotation.models.claim import ClaimQuerySet

_Message = TypeVar("_Message", bound="OutgoingMessage", covariant=True)


class DeliveryStatus(models.TextChoices):
    PENDING = "pending", gettext_lazy("Waiting")
    DELIVERED = "delivered", gettext_lazy("Delivered")
    FAILED = "failed", gettext_lazy("Failed")


class OutgoingQuerySet(ClaimQuerySet[_Message]):
    counter: ClassVar[str] = "attempts"
    fence: ClassVar[tuple[str, ...]] = ("status", "attempts")

    def pending(self) -> Self:
        return self.filter(status=DeliveryStatus.PENDING)

    def due(self, now: datetime) -> Self:
        """Return the messages whose next attempt may be made, the longest due first."""
        return self.pending().filter(next_attempt_at__lte=now).order_by("next_attempt_at", "pk")


class OutgoingMessage(models.Model):
    """A message that is stored in the transaction of what it reports and sent later, by any process.

    `attempts` is the fencing token: a process that was overtaken while sending changes nothing.
    """

    status = models.CharField(max_length=9, choices=DeliveryStatus, default=DeliveryStatus.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    attempts_allowed = models.PositiveIntegerField(help_text="Failed after this many.")
    next_attempt_at = models.DateTimeField(default=clock.now, help_text="During an attempt: when it counts as lost.")
    last_answer = models.TextField(blank=True, help_text="Start of the last response, or why there was none.")
    finished_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status=DeliveryStatus.PENDING, finished_at=None)
                | Q(status__in=[DeliveryStatus.DELIVERED, DeliveryStatus.FAILED], finished_at__isnull=False),
                name="%(class)s_final_means_finished_at",
            ),
            models.CheckConstraint(
                condition=Q(attempts__lte=F("attempts_allowed")), name="%(class)s_attempts_within_allowed"
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(status=DeliveryStatus.PENDING), name="%(class)s_pending"
            )
        ]

    @classmethod
    def forgotten_when_over(cls) -> dict[str, Any]:
        """Return the changes by which a message that is sent or has failed loses what must not be kept."""
        return {}

    @property
    def is_pending(self) -> bool:
        return self.status == DeliveryStatus.PENDING
