"""What people said. Rows here are written once and never edited."""

from __future__ import annotations

from django.db import models

from annotation.models.task import Assignment
from annotation.models.text import Completion


class Judgment(models.Model):
    assignment = models.OneToOneField(Assignment, on_delete=models.PROTECT, related_name="%(class)s")
    client_uuid = models.UUIDField(
        unique=True, help_text="Made in the browser: a repeated submit is the same judgment."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True
        ordering = ["id"]


class Ranking(Judgment):
    """`tiers` are lists of completion ids, best first; `unacceptable` are the ids below the line."""

    tiers = models.JSONField()
    unacceptable = models.JSONField(default=list, blank=True)
    rationale = models.TextField(blank=True)

    def __str__(self) -> str:
        return " > ".join(" = ".join(str(pk) for pk in tier) for tier in self.tiers)


class ReferenceAnswer(Judgment):
    """The text is a Completion, so that it can be a blind candidate in other people's tasks."""

    completion = models.OneToOneField(Completion, on_delete=models.PROTECT, related_name="reference_answer")
    derived_from = models.ForeignKey(
        Completion, on_delete=models.PROTECT, null=True, blank=True, related_name="edited_into"
    )

    def __str__(self) -> str:
        return str(self.completion)
