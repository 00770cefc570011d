"""Whether this server's first admin was made on the first-run page."""

from __future__ import annotations

import secrets

from django.db import models
from django.db.models import Q


class ServerSetup(models.Model):
    """The only row of its table. The set-up code of this database is made of `nonce` and the secret key."""

    nonce = models.CharField(max_length=43, default=secrets.token_urlsafe)
    finished_at = models.DateTimeField(null=True, blank=True, help_text="When the first admin was made.")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="only_one_server_setup")]

    def __str__(self) -> str:
        return f"finished at {self.finished_at}" if self.finished_at else "open"
