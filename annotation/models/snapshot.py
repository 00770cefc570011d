from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy, gettext_noop

from annotation.models.project import Project
from annotation.models.querysets import NumberedQuerySet


class SnapshotType(models.TextChoices):
    """What a row of a file is. TRL's names for dataset types, where it has one."""

    PREFERENCE = "preference", gettext_lazy("Preference")
    RANKING = "ranking", gettext_lazy("Ranking")  # ours: TRL has no type that keeps ties and several people
    UNPAIRED = "unpaired-preference", gettext_lazy("Unpaired preference: good or bad responses")
    PROMPT_COMPLETION = "prompt-completion", gettext_lazy("Prompt and completion")
    PROMPTS = gettext_noop("prompts"), gettext_lazy("Prompts")
    CLASSIFICATION = "classification", gettext_lazy("Classification")
    JUDGMENTS = "judgments", gettext_lazy("Raw annotations")
    INSTRUCTION = "instruction", gettext_lazy("Instructions")

    @property
    def unit(self) -> str:
        """Return what one row is, in the plural."""
        return UNITS[self]


UNITS = {
    SnapshotType.PREFERENCE: gettext_noop("pairs"),
    SnapshotType.RANKING: gettext_noop("ranked tasks"),
    SnapshotType.UNPAIRED: gettext_noop("good or bad responses"),
    SnapshotType.PROMPT_COMPLETION: gettext_noop("responses"),
    SnapshotType.PROMPTS: gettext_noop("prompts"),
    SnapshotType.CLASSIFICATION: gettext_noop("labelled texts"),
    SnapshotType.JUDGMENTS: gettext_noop("annotations"),
    SnapshotType.INSTRUCTION: gettext_noop("reviewed tasks"),
}


class DatasetSnapshot(models.Model):
    """An immutable file. Its name is its SHA-256, so the same judgments give the same file."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="snapshots")
    number = models.PositiveIntegerField()
    type = models.CharField(max_length=20, choices=SnapshotType)
    sha256 = models.CharField(max_length=64)
    rows = models.PositiveIntegerField()
    counts = models.JSONField(default=dict, help_text="Rows included and left out, by reason.")
    filter = models.JSONField(default=dict, blank=True, help_text="Filter of the annotations; empty: all.")
    card = models.JSONField(default=dict, blank=True, help_text="The data card.")
    cutoff = models.DateTimeField(help_text="Contains annotations up to here.")
    withdrawn_at = models.DateTimeField(
        null=True, blank=True, help_text="When an annotator whose data it contains was last excluded."
    )
    taken_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = NumberedQuerySet["DatasetSnapshot"].as_manager()

    class Meta:
        ordering = ["project", "-number"]
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="snapshot_number_once_per_project")]

    def __str__(self) -> str:
        return f"{self.type} snapshot {self.number}"

    def get_absolute_url(self) -> str:
        return reverse("snapshot", args=[self.project.slug, self.number])

    @property
    def unit(self) -> str:
        return SnapshotType(self.type).unit

    @property
    def path(self) -> Path:
        return Path(settings.SNAPSHOT_DIR) / f"{self.sha256}.jsonl"


class Withdrawal(models.Model):
    """A person's judgments until now count no more. They are not edited; snapshots taken later leave them out."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="withdrawals")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="withdrawals")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"annotator-{self.person_id} in {self.project} on {self.created_at:%Y-%m-%d}"
