"""Webhooks: addresses of other programs, and the events on their way to them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy

from annotation.models.outgoing import OutgoingMessage, OutgoingQuerySet
from annotation.models.project import Project


class Event(models.TextChoices):
    JUDGMENT = "judgment.submitted", gettext_lazy("Annotation submitted")
    SNAPSHOT = "snapshot.taken", gettext_lazy("Snapshot created")
    ROUND = "round.finished", gettext_lazy("Round finished, failed or cancelled")
    ALARM = "alarm.raised", gettext_lazy("Model problem reported")
    TEST = "webhook.test", gettext_lazy("A test")  # sent by the button on the page; no webhook subscribes to it


class Webhook(models.Model):
    """An address that receives a project's events. It is never edited: to change one, add another and remove it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="webhooks")
    url = models.URLField("Address", max_length=500)
    secret = models.CharField(max_length=100, help_text="Signs requests, so it is stored readable.")
    events = models.CharField(max_length=200, help_text="Events it receives, separated by spaces.")
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

    @property
    def event_labels(self) -> list[str]:
        """Return its events in the language of the page."""
        return [str(Event(name).label) if name in Event else name for name in self.event_names]

    def wants(self, event: Event) -> bool:
        return event == Event.TEST or event.value in self.event_names


class Delivery(OutgoingMessage):
    """One event on its way to one address."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False, help_text="Same in every attempt.")
    event = models.CharField(max_length=30, choices=Event)
    body = models.TextField(help_text="Exact text that is signed and sent.")
    last_status = models.PositiveIntegerField(null=True, blank=True, help_text="HTTP status of the last response.")

    objects = OutgoingQuerySet["Delivery"].as_manager()

    class Meta(OutgoingMessage.Meta):
        indexes = [
            *OutgoingMessage.Meta.indexes,
            # Not partial: SQLite does not see that a status given as a parameter fits a condition.
            models.Index(fields=["webhook", "status", "id"], name="first_pending_of_webhook"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.message_id}"

    @property
    def message_id(self) -> str:
        return f"msg_{self.uuid.hex}"
