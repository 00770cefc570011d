"""Mail to members. `annotation.delivery.mail` writes and sends it."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from annotation.models.outgoing import OutgoingMessage, OutgoingQuerySet
from annotation.models.project import Project


class MailMessage(OutgoingMessage):
    """One message to one account, to the address it has when the message is sent.

    `project` is empty where it is about the account itself.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, blank=True, related_name="mail")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="mail")
    subject = models.CharField(max_length=200)
    body = models.TextField()

    objects = OutgoingQuerySet["MailMessage"].as_manager()

    class Meta(OutgoingMessage.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.subject} to {self.user}"
