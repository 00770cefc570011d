"""What reviewers said about judgments. Nothing here edits a judgment; what is taken back stays as a row."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation import clock
from annotation.models.project import Project
from annotation.models.querysets import RevocableQuerySet
from annotation.models.task import Assignment, Task


class Adjudication(models.Model):
    """The order that snapshots take for a task instead of the votes, until it is withdrawn."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="adjudications")
    tiers = models.JSONField(help_text="Lists of completion ids, best first.")
    unacceptable = models.JSONField(default=list, blank=True)
    note = models.TextField(blank=True)
    adjudicated_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="adjudications")
    created_at = models.DateTimeField(auto_now_add=True)
    withdrawn_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    objects = RevocableQuerySet["Adjudication"].as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["task"], condition=Q(withdrawn_at=None), name="one_adjudication_stands_per_task"
            ),
            models.CheckConstraint(
                condition=Q(withdrawn_at=None, withdrawn_by=None)
                | Q(withdrawn_at__isnull=False, withdrawn_by__isnull=False),
                name="adjudication_withdrawn_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"adjudication of {self.task}"


class GoldAnswer(models.Model):
    """The known order of a task, which other people's orders are held against. `practice`: new annotators see it."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, related_name="gold")
    tiers = models.JSONField(help_text="Lists of completion ids, best first.")
    unacceptable = models.JSONField(default=list, blank=True, help_text="Of a unary task: its response, if it is bad.")
    note = models.TextField(blank=True, help_text="Why this is the gold ranking; shown as feedback in practice.")
    practice = models.BooleanField(default=False)
    marked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"gold ranking of {self.task}"


class ExclusionQuerySet(RevocableQuerySet["Exclusion"]):
    revoked: ClassVar[str] = "lifted_at"


class Exclusion(models.Model):
    """An annotator's judgments stay out of snapshots, for a reason, until it is lifted."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="exclusions")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="exclusions")
    reason = models.CharField(max_length=300)
    excluded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    lifted_at = models.DateTimeField(null=True, blank=True)

    objects = ExclusionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "annotator"], condition=Q(lifted_at=None), name="excluded_once_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(lifted_at=None, lifted_by=None) | Q(lifted_at__isnull=False, lifted_by__isnull=False),
                name="exclusion_lifted_by_somebody",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="exclusion_has_a_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.annotator} excluded from {self.project}"


class ReviewComment(models.Model):
    """What a reviewer told an annotator about one annotation, or what the annotator replied.

    `read_at` says when the annotator read it; a reply of their own has none.
    """

    assignment = models.ForeignKey(Assignment, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text if len(self.text) <= 80 else f"{self.text[:79]}…"


class PracticeRound(models.Model):
    """One go at all the practice tasks. `agreed` of `pairs` were as known once it is finished."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="practice_rounds")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="practice_rounds")
    started_at = models.DateTimeField(default=clock.now)  # by which its answers are found, as they are claimed by it
    finished_at = models.DateTimeField(null=True, blank=True)
    agreed = models.PositiveIntegerField(null=True, blank=True)
    pairs = models.PositiveIntegerField(null=True, blank=True)
    passed = models.BooleanField(default=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "annotator"], condition=Q(finished_at=None), name="one_practice_round_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(finished_at=None, agreed=None, pairs=None, passed=False)
                | Q(finished_at__isnull=False, agreed__isnull=False, pairs__isnull=False),
                name="finished_practice_has_a_result",
            ),
        ]

    def __str__(self) -> str:
        return f"practice of {self.annotator}"

    @property
    def share(self) -> float | None:
        return self.agreed / self.pairs if self.agreed is not None and self.pairs else None
