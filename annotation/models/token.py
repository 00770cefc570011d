from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy


class Scope(models.TextChoices):
    """What a token may do, at most: its owner's role in a project decides the rest."""

    READ = "read", gettext_lazy("Read projects, prompts, annotations, snapshots and rounds")
    ANNOTATE = "annotate", gettext_lazy("Get tasks and submit annotations")
    FEEDBACK = "feedback", gettext_lazy("Send feedback of end users")
    SERVE = "serve", gettext_lazy("Ask the served policy")
    DATA = "data", gettext_lazy("Import, create snapshots, download")
    TRAIN = "train", gettext_lazy("Start and cancel rounds")
    MANAGE = "manage", gettext_lazy("Change projects, members and webhooks")


class Token(models.Model):
    """A key to the API for a program. Only its hash is stored, so its value cannot be read again."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=80, help_text="What uses it, such as the name of a script.")
    prefix = models.CharField(max_length=12, help_text="Its first characters, to tell it from others.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of it.")
    scopes = models.CharField(max_length=80, help_text="Scopes, separated by spaces.")
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=~Q(scopes=""), name="token_may_do_something")]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"

    def allows(self, scope: Scope) -> bool:
        return scope.value in self.scopes.split()

    def is_over(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now
