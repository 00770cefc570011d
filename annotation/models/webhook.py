"""Telling other programs what happened. `annotation.actions.webhooks` says how a delivery moves."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from annotation.models.project import Project


class Event(models.TextChoices):
    JUDGMENT = "judgment.submitted", "A judgment was submitted"
    SNAPSHOT = "snapshot.taken", "A snapshot was taken"
    ROUND = "round.finished", "A round finished, failed or was cancelled"
    ALARM = "alarm.raised", "Somebody raised the alarm about the policy"
    TEST = "webhook.test", "A test"  # somebody pressed the button: nobody subscribes to it


class Webhook(models.Model):
    """An address that is told of a project's events. It is never edited: to change one, add another and remove it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="webhooks")
    url = models.URLField("Address", max_length=500)
    secret = models.CharField(max_length=100, help_text="Signs what is sent, so it has to be readable here.")
    events = models.CharField(max_length=200, help_text="What it is told of, with spaces between.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.CheckConstraint(condition=~Q(events=""), name="webhook_for_an_event")]

    def __str__(self) -> str:
        return self.url

    def get_absolute_url(self) -> str:
        return reverse("webhook", args=[self.project.slug, self.pk])

    @property
    def event_names(self) -> list[str]:
        return self.events.split()

    def wants(self, event: Event) -> bool:
        return event == Event.TEST or event.value in self.event_names


class DeliveryStatus(models.TextChoices):
    PENDING = "pending", "Waiting"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"


class Delivery(models.Model):
    """One event on its way to one address, written in the transaction in which the event happened.

    `attempts` is the fencing token: whoever was overtaken while sending changes nothing.
    """

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False, help_text="The same in every attempt.")
    event = models.CharField(max_length=30, choices=Event)
    body = models.TextField(help_text="The very text that is signed and sent.")
    status = models.CharField(max_length=9, choices=DeliveryStatus, default=DeliveryStatus.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    attempts_allowed = models.PositiveIntegerField(help_text="After so many it has failed.")
    next_attempt_at = models.DateTimeField(default=timezone.now, help_text="While one is made: when it counts as lost.")
    last_status = models.PositiveIntegerField(null=True, blank=True, help_text="HTTP status of the last answer.")
    last_answer = models.TextField(blank=True, help_text="How it began, or why there was none.")
    finished_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status=DeliveryStatus.PENDING, finished_at=None)
                | Q(status__in=[DeliveryStatus.DELIVERED, DeliveryStatus.FAILED], finished_at__isnull=False),
                name="delivery_final_means_finished_at",
            ),
            models.CheckConstraint(
                condition=Q(attempts__lte=models.F("attempts_allowed")), name="delivery_attempts_within_allowed"
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(status=DeliveryStatus.PENDING), name="delivery_pending"
            )
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.message_id}"

    @property
    def message_id(self) -> str:
        return f"msg_{self.uuid.hex}"

    @property
    def is_pending(self) -> bool:
        return self.status == DeliveryStatus.PENDING
