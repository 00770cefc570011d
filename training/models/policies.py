"""Which version of the policy is in use, and merged copies of versions for download."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from annotation.models import PolicyVersion, Project
from annotation.models.claim import ClaimQuerySet
from annotation.models.querysets import NumberedQuerySet


class Promotion(models.Model):
    """From here on rounds start from `policy` and sample from it. The latest one holds; older ones are the history."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="promotions")
    number = models.PositiveIntegerField()
    policy = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT, related_name="promotions")
    why = models.CharField(max_length=500)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="promotions",
        help_text="Empty where a round activated its result.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = NumberedQuerySet["Promotion"].as_manager()

    class Meta:
        ordering = ["project", "-number"]
        constraints = [
            # Of two people who promote at once the second is told so, and neither is lost unseen.
            models.UniqueConstraint(fields=["project", "number"], name="promotion_number_once_per_project")
        ]

    def __str__(self) -> str:
        return f"{self.policy}: {self.why}"


class PackageStatus(models.TextChoices):
    QUEUED = "queued", gettext_lazy("Queued")
    RUNNING = "running", gettext_lazy("Being merged")
    READY = "ready", gettext_lazy("Ready")
    FAILED = "failed", gettext_lazy("Failed")


class Package(models.Model):
    """A version as a whole model: the adapter folded into its base, by a worker, once."""

    policy = models.OneToOneField(PolicyVersion, on_delete=models.CASCADE, related_name="package")
    status = models.CharField(max_length=7, choices=PackageStatus, default=PackageStatus.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ClaimQuerySet["Package"].as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(status=PackageStatus.RUNNING) | Q(heartbeat_at__isnull=False),
                name="running_package_has_a_heartbeat",
            )
        ]

    def __str__(self) -> str:
        return f"{self.policy} merged: {self.status}"

    @property
    def path(self) -> Path:
        return Path(settings.RUN_DIR) / f"merged-{self.policy_id}"
