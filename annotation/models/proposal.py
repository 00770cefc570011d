"""Tasks that a model proposes for instruction tuning, and where each came from. People review them in the queue."""

from __future__ import annotations

import hashlib
import json

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_noop

from annotation.models.project import Project
from annotation.models.text import PolicyVersion


class ProposalBatch(models.Model):
    """What one run, or one file, proposed: who wrote it and with which settings, and what was no proposal at all."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="proposal_batches")
    origin = models.CharField(max_length=100, help_text="The run or the file that it came from.")
    policy = models.ForeignKey(
        PolicyVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="proposal_batches"
    )
    model = models.CharField(max_length=200, blank=True, help_text="What another server calls the model it asked.")
    sampling = models.JSONField(default=dict, blank=True)
    proposed = models.PositiveIntegerField(default=0, help_text="How often the model was asked, or rows of the file.")
    unparsed = models.JSONField(default=dict, blank=True, help_text="What could not be read as a task, by reason.")
    duplicates = models.PositiveIntegerField(default=0, help_text="Word for word what was there already.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "origin"], name="proposal_batch_once_per_origin"),
        ]

    def __str__(self) -> str:
        return self.origin

    @property
    def author(self) -> str:
        """Return the name of the model that wrote it."""
        if self.policy:
            return gettext_noop("policy %(version)s") % {"version": self.policy}
        return self.model or gettext_noop("a file")


class Proposal(models.Model):
    """One task: an instruction, perhaps an input, and the output that it should have. Never edited: a review is."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="proposals")
    batch = models.ForeignKey(ProposalBatch, on_delete=models.CASCADE, related_name="proposals")
    index = models.PositiveIntegerField(help_text="Which one of its batch.")
    instruction = models.TextField()
    input = models.TextField(blank=True)
    output = models.TextField(blank=True)
    digest = models.CharField(max_length=64, editable=False)
    prompt = models.JSONField(default=list, blank=True, help_text="Exact prompt messages.")
    examples = models.JSONField(default=list, blank=True, help_text="Ids of the tasks that the prompt showed.")
    refused_by = models.CharField(max_length=30, blank=True, help_text="Code of the rule that it breaks; empty: none.")
    similar = models.JSONField(default=list, blank=True, help_text="The most similar tasks: id, text and ROUGE-L.")
    similarity = models.FloatField(default=0.0, help_text="ROUGE-L to the most similar task, 0 to 1.")
    near_duplicate = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "digest"], name="proposal_once_per_project"),
            models.UniqueConstraint(fields=["batch", "index"], name="proposal_place_in_its_batch"),
            models.CheckConstraint(
                condition=Q(similarity__gte=0) & Q(similarity__lte=1), name="proposal_similarity_from_0_to_1"
            ),
            models.CheckConstraint(
                condition=Q(near_duplicate=False) | Q(refused_by=""), name="only_what_passed_is_near_duplicate"
            ),
        ]

    def __str__(self) -> str:
        return self.instruction if len(self.instruction) <= 80 else f"{self.instruction[:79]}…"

    def get_absolute_url(self) -> str:
        return reverse("proposal", args=[self.project.slug, self.pk])

    @staticmethod
    def digest_of(instruction: str, input: str, output: str) -> str:
        canonical = json.dumps([instruction, input, output], ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
