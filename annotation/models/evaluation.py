"""Proof by people: answers of two authors to the same prompts, laid blind beside each other."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils.translation import gettext

from annotation.models.project import Project
from annotation.models.querysets import NumberedQuerySet
from annotation.models.task import Assignment, SeatStatus, Task
from annotation.models.text import Completion, PolicyVersion, Prompt

PEOPLE = "people"


class Evaluation(models.Model):
    """`version` against an older version, or against the reference answers where `opponent` is None."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="evaluations")
    number = models.PositiveIntegerField()
    version = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT, related_name="evaluations")
    opponent = models.ForeignKey(
        PolicyVersion, on_delete=models.PROTECT, null=True, blank=True, related_name="opposed_in"
    )
    origin = models.CharField(max_length=50, help_text="The run that generated the responses.")
    seats = models.PositiveSmallIntegerField(default=1, help_text="Annotators per comparison.")
    sampling = models.JSONField(default=dict, blank=True, help_text="The generation settings of both sides.")
    left_out = models.JSONField(default=dict, blank=True, help_text="Left-out prompts by reason.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = NumberedQuerySet["Evaluation"].as_manager()

    class Meta:
        ordering = ["project", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="evaluation_number_once_per_project"),
            models.UniqueConstraint(fields=["project", "origin"], name="evaluation_once_per_run"),
            models.CheckConstraint(
                condition=Q(opponent=None) | ~Q(opponent=F("version")), name="no_version_opposes_itself"
            ),
        ]

    def __str__(self) -> str:
        return gettext("%(version)s against %(opponent)s") % {"version": self.version, "opponent": self.opponent_label}

    def get_absolute_url(self) -> str:
        return reverse("evaluation", args=[self.project.slug, self.number])

    @property
    def opponent_label(self) -> str:
        return str(self.opponent or gettext("reference responses"))

    @property
    def opponent_name(self) -> str:
        """Return the opponent's name on the ladder."""
        return str(self.opponent or PEOPLE)

    def open_seats(self) -> int:
        """Return how many judgments are still to come."""
        unfinished = [SeatStatus.EMPTY, SeatStatus.HELD]
        return Assignment.objects.filter(task__comparison__evaluation=self, status__in=unfinished).count()


class Comparison(models.Model):
    """One prompt of an evaluation. Two identical answers are a tie and become no task."""

    evaluation = models.ForeignKey(Evaluation, on_delete=models.CASCADE, related_name="comparisons")
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="comparisons")
    answer = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="+", help_text="The version's.")
    other = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="+", help_text="The opponent's.")
    version_first = models.BooleanField(help_text="Order shown for the first assignment; swapped for every second one.")
    identical = models.BooleanField(default=False)
    task = models.OneToOneField(Task, on_delete=models.CASCADE, null=True, blank=True, related_name="comparison")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "prompt"], name="prompt_once_per_evaluation"),
            models.CheckConstraint(
                condition=Q(identical=True, task=None) | Q(identical=False, task__isnull=False),
                name="only_identical_answers_have_no_task",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.evaluation}: {self.prompt}"
