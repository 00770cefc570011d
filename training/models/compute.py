"""Where the stages of a project run, and what they ask for there."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy

from annotation.models import Project

NAME = RegexValidator(r"^[A-Za-z0-9_][A-Za-z0-9_.,-]*$", gettext_lazy("Letters, digits and _ . , - only."))
IMAGE = RegexValidator(
    r"^[A-Za-z0-9_./~][A-Za-z0-9_.:/@~+-]*$", gettext_lazy("Letters, digits and _ . : / @ ~ + - only.")
)


class StageCompute(models.Model):
    """The executor and resources of one method's stages in a project; of all its stages where `method` is empty."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="compute")
    method = models.CharField(max_length=30, blank=True)
    executor = models.CharField(max_length=30, blank=True, verbose_name=gettext_lazy("Executor"))
    cpus = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(4096)],
        verbose_name=gettext_lazy("CPUs"),
    )
    gpus = models.PositiveIntegerField(
        null=True, blank=True, validators=[MaxValueValidator(1024)], verbose_name=gettext_lazy("GPUs")
    )
    memory_gb = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.1), MaxValueValidator(100_000.0)],
        verbose_name=gettext_lazy("Memory, GB"),
    )
    minutes = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(525_600)],
        verbose_name=gettext_lazy("Time limit, minutes"),
        help_text=gettext_lazy("After it the stage is stopped, and goes on from its last state."),
    )
    partition = models.CharField(
        max_length=100,
        blank=True,
        validators=[NAME],
        verbose_name=gettext_lazy("Partition"),
        help_text=gettext_lazy("Slurm: a partition. Ray: a custom resource that the nodes have."),
    )
    image = models.CharField(
        max_length=300, blank=True, validators=[IMAGE], verbose_name=gettext_lazy("Container image")
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "method"], name="compute_once_per_stage")]

    def __str__(self) -> str:
        return f"compute of {self.method or 'all stages'} in {self.project}"
