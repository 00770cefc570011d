"""Mail to members. `annotation.delivery.mail` writes and sends it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Q, Value, When

from annotation.models.outgoing import OutgoingMessage, OutgoingQuerySet
from annotation.models.project import Project


class MailMessage(OutgoingMessage):
    """One message to one account, to the address it has when the message is sent; or, without an account, to `address`.

    `project` is empty where it is about the account itself. Either has a link for its reader alone,
    and its body is deleted once it is sent or has failed.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, blank=True, related_name="mail")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="mail")
    address = models.EmailField(blank=True, help_text="For a person without an account.")
    subject = models.CharField(max_length=200)
    body = models.TextField()

    objects = OutgoingQuerySet["MailMessage"].as_manager()

    class Meta(OutgoingMessage.Meta):
        constraints = [
            *OutgoingMessage.Meta.constraints,
            models.CheckConstraint(
                condition=Q(user__isnull=False, address="") | Q(user=None) & ~Q(address=""),
                name="mail_to_an_account_or_an_address",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject} to {self.user or self.address}"

    @property
    def recipient(self) -> str:
        """Return the address to send to; empty where the account has none any more."""
        return self.user.email if self.user else self.address

    @classmethod
    def forgotten_when_over(cls) -> dict[str, Any]:
        """Return the change that deletes a body with a link that sets a password or joins a project for its reader."""
        has_secret = Q(project=None) | Q(user=None)
        return {"body": Case(When(has_secret, then=Value("", models.TextField())), default=F("body"))}
