"""What end users of a product said of a response, sent by the product itself."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from annotation.models.project import Project
from annotation.models.text import Completion, PolicyVersion, Prompt


class Thumb(models.TextChoices):
    UP = "up", gettext_lazy("Thumb up")
    DOWN = "down", gettext_lazy("Thumb down")


class Preferred(models.TextChoices):
    """Which of two responses an end user chose."""

    RESPONSE = "response", gettext_lazy("The response")
    ALTERNATIVE = "alternative", gettext_lazy("The alternative")
    TIE = "tie", gettext_lazy("Neither")


MAX_SCORE = 1_000_000


class Feedback(models.Model):
    """An end user's feedback on one response, known by the key that the product gave it.

    Later feedback with the same key updates the row. The texts are rows of their own, so that the same prompt and the
    same response are stored once, whatever number of end users judge them.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="feedback")
    key = models.CharField(max_length=100, help_text="The product's own name for this feedback; it is stored once.")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="feedback")
    completion = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="feedback")
    alternative = models.ForeignKey(
        Completion, on_delete=models.PROTECT, null=True, blank=True, related_name="feedback_as_alternative"
    )
    edit = models.ForeignKey(
        Completion, on_delete=models.PROTECT, null=True, blank=True, related_name="feedback_as_edit"
    )
    thumb = models.CharField(max_length=4, choices=Thumb, blank=True)
    score = models.FloatField(null=True, blank=True, help_text="Any number; higher is better.")
    score_min = models.FloatField(null=True, blank=True, help_text="The lowest score of its range, where one was sent.")
    score_max = models.FloatField(null=True, blank=True, help_text="The highest score of its range.")
    chosen = models.CharField(max_length=11, choices=Preferred, blank=True)
    comment = models.TextField(blank=True)
    user = models.CharField(max_length=100, blank=True, help_text="A hash that stands for the end user.")
    version = models.CharField(max_length=100, blank=True, help_text="The version of the model that responded.")
    metadata = models.JSONField(default=dict, blank=True)
    updates = models.PositiveIntegerField(default=0, help_text="How often later feedback changed it.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "feedback"
        constraints = [
            models.UniqueConstraint(fields=["project", "key"], name="feedback_once_per_key"),
            models.CheckConstraint(condition=~Q(key=""), name="feedback_has_a_key"),
            models.CheckConstraint(condition=Q(thumb__in=["", *Thumb.values]), name="feedback_thumb_is_up_or_down"),
            models.CheckConstraint(
                condition=Q(score=None) | Q(score__gte=-MAX_SCORE, score__lte=MAX_SCORE),
                name="feedback_score_is_bounded",
            ),
            models.CheckConstraint(
                condition=Q(score_min=None, score_max=None)
                | Q(
                    score__isnull=False,
                    score_min__isnull=False,
                    score_max__isnull=False,
                    score_min__lt=models.F("score_max"),
                    score__gte=models.F("score_min"),
                    score__lte=models.F("score_max"),
                ),
                name="feedback_score_is_in_its_range",
            ),
            models.CheckConstraint(
                condition=Q(chosen="", alternative=None) | Q(chosen__in=Preferred.values, alternative__isnull=False),
                name="feedback_chosen_of_two",
            ),
            models.CheckConstraint(
                condition=~Q(alternative=models.F("completion")) & ~Q(edit=models.F("completion")),
                name="feedback_texts_differ",
            ),
            models.CheckConstraint(
                condition=~Q(thumb="", score=None, chosen="", edit=None, comment=""), name="feedback_says_something"
            ),
        ]
        indexes = [
            models.Index(fields=["project", "created_at"], name="feedback_by_day"),
            models.Index(fields=["project", "-id"], name="feedback_newest_first"),
            models.Index(fields=["project", "user"], condition=~Q(user=""), name="feedback_of_an_end_user"),
        ]

    def __str__(self) -> str:
        return self.key


class FeedbackChange(models.Model):
    """What a feedback said before it was updated: the fields that changed, with their earlier values."""

    feedback = models.ForeignKey(Feedback, on_delete=models.CASCADE, related_name="changes")
    number = models.PositiveIntegerField(help_text="From 1 on, within the feedback.")
    before = models.JSONField(help_text="Fields by name; the alternative and the edit as texts.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["feedback", "number"]
        constraints = [models.UniqueConstraint(fields=["feedback", "number"], name="feedback_change_once")]

    def __str__(self) -> str:
        return f"change {self.number} of {self.feedback_id}"


class ServedResponse(models.Model):
    """What a served policy said to a product. It is a record of the project only once feedback is about it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="served_responses")
    policy = models.ForeignKey(PolicyVersion, on_delete=models.CASCADE, related_name="served_responses")
    messages = models.JSONField(help_text="The conversation that it responds to.")
    text = models.TextField(blank=True)
    finished = models.BooleanField(help_text="Finished (EOS); otherwise truncated at the length limit.")
    user = models.CharField(max_length=100, blank=True, help_text="A hash that stands for the end user.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["project", "created_at"], name="served_by_age")]

    def __str__(self) -> str:
        return f"chatcmpl-{self.pk.hex}"
