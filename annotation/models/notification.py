"""What people are told in the application: the bell of the header."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext, gettext_lazy

from annotation.models.project import Project, Role


class NotificationKind(models.TextChoices):
    """What happened, as the profile lists it."""

    SENT_BACK = "sent-back", gettext_lazy("An annotation of yours was sent back for correction")
    COMMENT = "comment", gettext_lazy("A comment on your annotation, or a reply to yours")
    GUIDELINES = "guidelines", gettext_lazy("The guidelines changed")
    ROUND = "round", gettext_lazy("A round ended, failed or stopped at a quality gate")
    JUDGE = "judge", gettext_lazy("An AI judge became worse than people, and its takeover ended")
    MEMBER = "member", gettext_lazy("You were added to a project, or your role changed")


class Notification(models.Model):
    """One thing that one person is told. It holds no text of other people: `url` leads to where that stands."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=10, choices=NotificationKind)
    data = models.JSONField(default=dict, help_text="What its words name: a number, a status, a role.")
    url = models.CharField(max_length=300, help_text="Path of the page that it is about.")
    created_at = models.DateTimeField(auto_now_add=True)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=NotificationKind.values), name="notification_kind_is_known"),
            models.CheckConstraint(condition=Q(url__startswith="/"), name="notification_leads_into_the_site"),
        ]
        indexes = [models.Index(fields=["user"], condition=Q(read_at=None), name="unread_notifications")]

    def __str__(self) -> str:
        return f"{self.kind} for {self.user_id}"

    @property
    def text(self) -> str:
        """Return what happened, in the language of the page."""
        return _WORDS[NotificationKind(self.kind)](self.data)


def _round(data: dict[str, Any]) -> str:
    words = {
        "succeeded": gettext("Round %(number)s succeeded"),
        "failed": gettext("Round %(number)s failed"),
        "cancelled": gettext("Round %(number)s was cancelled"),
        "stopped": gettext("Round %(number)s stopped at a quality gate and waits for a decision"),
    }
    return words[data["status"]] % {"number": data["number"]}


def _judge(data: dict[str, Any]) -> str:
    value = data["value"] or gettext("all pairs")
    value = value if data["dimension"] == "category" else gettext(value)
    words = gettext("AI judge %(judge)s is worse than people in the audit share: its takeover of “%(slice)s” has ended")
    return words % {"judge": data["judge"], "slice": value}


_WORDS: dict[NotificationKind, Callable[[dict[str, Any]], str]] = {
    NotificationKind.SENT_BACK: lambda data: gettext("An annotation of yours was sent back for correction"),  # noqa: ARG005
    NotificationKind.COMMENT: lambda data: (
        gettext("An annotator replied to your comment")
        if data.get("reply")
        else gettext("A reviewer commented on your annotation")
    ),
    NotificationKind.GUIDELINES: lambda data: gettext("The guidelines changed: version %(number)s") % data,
    NotificationKind.ROUND: _round,
    NotificationKind.JUDGE: _judge,
    NotificationKind.MEMBER: lambda data: gettext("Your role is now: %(role)s") % {"role": Role(data["role"]).label},
}
