from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models

from annotation.models.project import Project


class SnapshotType(models.TextChoices):
    """TRL's names for dataset types."""

    PREFERENCE = "preference", "Preference"
    RANKING = "ranking", "Ranking"  # ours: TRL has no type that keeps ties and several people
    PROMPT_COMPLETION = "prompt-completion", "Prompt and completion"

    @property
    def unit(self) -> str:
        """What one row is."""
        return UNITS[self]


UNITS = {
    SnapshotType.PREFERENCE: "pairs",
    SnapshotType.RANKING: "ranked tasks",
    SnapshotType.PROMPT_COMPLETION: "answers",
}


class DatasetSnapshot(models.Model):
    """An immutable file. Its name is its SHA-256, so the same judgments give the same file."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="snapshots")
    number = models.PositiveIntegerField()
    type = models.CharField(max_length=20, choices=SnapshotType)
    sha256 = models.CharField(max_length=64)
    rows = models.PositiveIntegerField()
    counts = models.JSONField(default=dict, help_text="What was taken and what was left out, by reason.")
    cutoff = models.DateTimeField(help_text="Judgments up to here are in it.")
    taken_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["project", "-number"]
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="snapshot_number_once_per_project")]

    def __str__(self) -> str:
        return f"{self.type} snapshot {self.number}"

    @property
    def unit(self) -> str:
        return SnapshotType(self.type).unit

    @property
    def path(self) -> Path:
        return Path(settings.SNAPSHOT_DIR) / f"{self.sha256}.jsonl"
