"""Signs of life of the workers, which may run on other machines than the pages."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class WorkerSign(models.Model):
    """When the worker of this name was last seen at work."""

    objects: ClassVar[models.Manager[WorkerSign]] = models.Manager()

    name = models.CharField(max_length=255, unique=True, help_text="host:process")
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
