from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse


class Role(models.TextChoices):
    ANNOTATOR = "annotator", "Annotator"
    REVIEWER = "reviewer", "Reviewer"
    ADMIN = "admin", "Admin"

    def includes(self, other: Role) -> bool:
        """An admin may do what a reviewer may, a reviewer what an annotator may."""
        order = [Role.ANNOTATOR, Role.REVIEWER, Role.ADMIN]
        return order.index(self) >= order.index(other)


class Project(models.Model):
    """One campaign: what is judged, by how many people, under which guidelines."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    guidelines = models.TextField(
        blank=True, help_text="What makes an answer good here. Markdown; shown beside the work."
    )
    candidates_per_task = models.PositiveSmallIntegerField(
        default=4,
        validators=[MinValueValidator(2), MaxValueValidator(9)],
        help_text="Answers that one ranking task shows, from 2 to 9.",
    )
    seats_per_task = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(20)],
        help_text="People who judge each new task.",
    )
    reference_share = models.FloatField(
        default=0.1,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="Share of prompts, from 0 to 1, for which someone is also asked to write a reference answer.",
    )
    lease_minutes = models.PositiveSmallIntegerField(
        default=20,
        validators=[MinValueValidator(1), MaxValueValidator(240)],
        help_text="Minutes for which a seat is held without a sign of life.",
    )
    base_model = models.CharField(
        max_length=500,
        default="smollm2-135m-instruct",
        help_text="Hugging Face id or local path of the model that version 0 of the policy is.",
    )
    licence = models.CharField(
        max_length=200,
        blank=True,
        help_text="Under which the data may be used, such as CC BY 4.0; stands on every data card.",
    )
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership", related_name="projects")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(candidates_per_task__gte=2, candidates_per_task__lte=9),
                name="candidates_from_2_to_9",
            ),
            models.CheckConstraint(condition=models.Q(seats_per_task__gte=1), name="at_least_one_seat"),
            models.CheckConstraint(
                condition=models.Q(reference_share__gte=0, reference_share__lte=1), name="share_from_0_to_1"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("project", args=[self.slug])


class Membership(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.ANNOTATOR)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_role_per_member")]

    def __str__(self) -> str:
        return f"{self.user}: {self.role} of {self.project}"

    def may_act_as(self, role: Role) -> bool:
        return Role(self.role).includes(role)
