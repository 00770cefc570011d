"""What people said elsewhere: it came out of a file and belongs to no account here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from django.db import models
from django.db.models import Q

from annotation.models.project import Project
from annotation.models.text import Prompt, PromptUpload, Split


class ImportedJudgment(models.Model):
    """One person's judgment out of a file, as a Ranking holds it. It counts as of the source "imported".

    `tiers` are lists of completion ids, best first; `group` names the set of answers that it is about, so that what
    several people said of the same answers is merged. `digest` is what is said and by whom: the same is taken once.
    """

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="imported_judgments")
    group = models.CharField(max_length=64, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    tiers = models.JSONField()
    unacceptable = models.JSONField(default=list, blank=True)
    unranked = models.JSONField(default=list, blank=True, help_text="IDs whose order is unknown.")
    ratings = models.JSONField(default=dict, blank=True, help_text="Completion id to criterion to number.")
    strength = models.PositiveSmallIntegerField(null=True, blank=True)
    margin = models.FloatField(null=True, blank=True, help_text="How far apart, from 0 to 1, where the file says.")
    annotator = models.CharField(max_length=200, blank=True, help_text="The name that the file gives the person.")
    weight = models.FloatField(default=1.0)
    rationale = models.TextField(blank=True)
    judged_at = models.DateTimeField(null=True, blank=True, help_text="When it was said, where the file says.")
    upload = models.ForeignKey(
        PromptUpload, on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )  # the file that brought it
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["prompt", "digest"], name="imported_judgment_once"),
            models.CheckConstraint(
                condition=Q(margin=None) | Q(margin__gte=0, margin__lte=1), name="imported_margin_from_0_to_1"
            ),
            models.CheckConstraint(condition=Q(weight__gt=0), name="imported_weight_above_0"),
        ]
        indexes = [models.Index(fields=["prompt", "group"])]

    def __str__(self) -> str:
        return " > ".join(" = ".join(str(pk) for pk in tier) for tier in self.tiers)

    @staticmethod
    def group_of(completions: Iterable[int]) -> str:
        """Return the name of a set of answers."""
        return hashlib.sha256(",".join(map(str, sorted(completions))).encode()).hexdigest()


class ImportMapping(models.Model):
    """How the columns of a kind of file are to be read, under a name."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="import_mappings")
    name = models.CharField(max_length=100)
    mapping = models.JSONField(default=dict, blank=True, help_text="Which column each field comes from.")
    shape = models.CharField(max_length=40, blank=True)
    ignore = models.JSONField(default=list, blank=True, help_text="Fields that are left out.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="import_mapping_once_per_project")]

    def __str__(self) -> str:
        return self.name


class ImportedLabel(models.Model):
    """One vote on the class of a text: of a person whom a file names, or the `number`th of those without a name."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="imported_labels")
    text = models.TextField()
    label = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, editable=False)
    annotator = models.CharField(max_length=200, blank=True, help_text="The name that the file gives the person.")
    number = models.PositiveSmallIntegerField(default=1, editable=False)
    labelled_at = models.DateTimeField(null=True, blank=True, help_text="When it was said, where the file says.")
    split = models.CharField(max_length=5, choices=Split, editable=False)
    upload = models.ForeignKey(
        PromptUpload, on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )  # the file that brought it
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "digest", "annotator", "number"], name="imported_label_once")
        ]

    def __str__(self) -> str:
        return f"{self.label}: {self.text[:80]}"
