"""What other people said elsewhere: it came out of a file and is nobody's here."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from annotation.models.project import Project
from annotation.models.text import Completion, Prompt, Split


class ImportedPreference(models.Model):
    """A pair out of a file. It counts as one judgment of the source "imported", never as an annotator's."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="imported_preferences")
    chosen = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="+")
    rejected = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="+")
    margin = models.FloatField(null=True, blank=True, help_text="How far apart, from 0 to 1, where the file says.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["chosen", "rejected"], name="imported_preference_once"),
            models.CheckConstraint(condition=~Q(chosen=F("rejected")), name="imported_preference_of_two_answers"),
            models.CheckConstraint(
                condition=Q(margin=None) | Q(margin__gte=0, margin__lte=1), name="imported_margin_from_0_to_1"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.chosen_id} > {self.rejected_id}"


class ImportedLabel(models.Model):
    """A text and the class that a file puts it in."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="imported_labels")
    text = models.TextField()
    label = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, editable=False)
    split = models.CharField(max_length=5, choices=Split, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["project", "digest"], name="labelled_text_once_per_project")]

    def __str__(self) -> str:
        return f"{self.label}: {self.text[:80]}"
