"""The playground: a user asks one version, or two blind, and reads the replies as they are written."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils.translation import gettext_lazy

from annotation.models import PolicyVersion, Project, Task
from annotation.models.claim import ClaimQuerySet


class Side(models.TextChoices):
    LEFT = "left", "A"
    RIGHT = "right", "B"


class Outcome(models.TextChoices):
    LEFT = "left", gettext_lazy("A is better")
    TIE = "tie", gettext_lazy("As good")
    RIGHT = "right", gettext_lazy("B is better")


class Exchange(models.Model):
    """One question. Of two versions that were chosen, chance put one on the left; `outcome` opens their names."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="exchanges")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="exchanges")
    follows = models.ForeignKey(
        "self",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="followed_by",
        help_text="The exchange that this one continues.",
    )
    messages = models.JSONField(help_text="The whole conversation so far, the question last.")
    left = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT, related_name="+")
    right = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    max_new_tokens = models.PositiveIntegerField()
    temperature = models.FloatField()
    outcome = models.CharField(max_length=5, choices=Outcome, blank=True)
    task = models.OneToOneField(
        Task,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="exchange",
        help_text="Where the verdict is stored as an annotation.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(right=None) | ~Q(right=F("left")), name="no_version_is_compared_with_itself"
            ),
            models.CheckConstraint(
                condition=Q(outcome="") | Q(right__isnull=False), name="only_two_versions_have_an_outcome"
            ),
        ]

    def __str__(self) -> str:
        text = self.question
        return text if len(text) <= 80 else f"{text[:79]}…"

    def get_absolute_url(self) -> str:
        return reverse("exchange", args=[self.project.slug, self.pk])

    @property
    def question(self) -> str:
        return str(self.messages[-1]["content"])

    @property
    def is_blind(self) -> bool:
        """Return whether the version names are still hidden."""
        return self.right_id is not None and not self.outcome


class ReplyStatus(models.TextChoices):
    QUEUED = "queued", gettext_lazy("Waiting")
    RUNNING = "running", gettext_lazy("Writing")
    DONE = "done", gettext_lazy("Done")
    FAILED = "failed", gettext_lazy("Failed")
    CANCELLED = "cancelled", gettext_lazy("Cancelled")


WRITING = [ReplyStatus.QUEUED, ReplyStatus.RUNNING]


class Reply(models.Model):
    """What one version answers; `text` grows while it is written."""

    exchange = models.ForeignKey(Exchange, on_delete=models.CASCADE, related_name="replies")
    side = models.CharField(max_length=5, choices=Side)
    status = models.CharField(max_length=9, choices=ReplyStatus, default=ReplyStatus.QUEUED)
    text = models.TextField(blank=True)
    tokens = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0.0)
    finished = models.BooleanField(default=False, help_text="Finished (EOS); otherwise truncated at the length limit.")
    error = models.TextField(blank=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ClaimQuerySet["Reply"].as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["exchange", "side"], name="one_reply_per_side"),
            models.CheckConstraint(
                condition=~Q(status=ReplyStatus.RUNNING) | Q(heartbeat_at__isnull=False),
                name="running_reply_has_a_heartbeat",
            ),
        ]
        indexes = [models.Index(fields=["status", "id"], condition=Q(status__in=WRITING), name="reply_to_write_next")]

    def __str__(self) -> str:
        return f"{self.side} of {self.exchange_id}: {self.status}"

    @property
    def policy(self) -> PolicyVersion:
        policy = self.exchange.left if self.side == Side.LEFT else self.exchange.right
        assert policy is not None  # there is a right reply only where there is a right version
        return policy

    @property
    def is_being_written(self) -> bool:
        return self.status in WRITING
