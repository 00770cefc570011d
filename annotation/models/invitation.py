"""Invitations by link: a person who has one may join a project, with an account that they make."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext

from annotation.models.project import Project, Role


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self, now: datetime) -> Self:
        """Return those that can still be used."""
        return self.filter(revoked_at=None, expires_at__gt=now, used__lt=F("uses"))


class Invitation(models.Model):
    """One link. Only the hash of its key is stored, so that it cannot be read again."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=10, choices=Role, default=Role.ANNOTATOR)
    note = models.CharField(max_length=200, blank=True, help_text="Whom it is for, as its maker wrote it.")
    address = models.EmailField(blank=True, help_text="Where the link was sent by mail.")
    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of its key.")
    uses = models.PositiveIntegerField(default=1, help_text="How many people may join by it.")
    used = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(uses__gte=1, used__lte=F("uses")), name="invitation_used_up_at_most"),
            models.CheckConstraint(condition=~Q(role=Role.ADMIN) | Q(uses=1), name="admins_are_invited_one_by_one"),
        ]

    def __str__(self) -> str:
        return self.note or gettext("invitation %(number)s") % {"number": self.pk}
