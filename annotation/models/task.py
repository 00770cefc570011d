"""Tasks and the seats at them. `annotation.actions.assignments` has the moves of an assignment."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy

from annotation import clock
from annotation.models.project import Project
from annotation.models.proposal import Proposal
from annotation.models.text import Completion, Prompt
from annotation.opaque import key_of


class Purpose(models.TextChoices):
    """Why a task is there.

    An evaluation compares two authors. What is neither work nor evaluation repeats a task to check a person, and is no
    vote on its answers.
    """

    WORK = "work", gettext_lazy("Work")
    EVALUATION = "evaluate", gettext_lazy("Evaluation")
    GOLD = "gold", gettext_lazy("Gold task")
    REPEAT = "repeat", gettext_lazy("Repeat")
    PRACTICE = "practice", gettext_lazy("Practice")


FOR_ANYBODY = [Purpose.WORK, Purpose.EVALUATION]  # a check is for one person


class TaskQuerySet(models.QuerySet["Task"]):
    def blind_to(self, user: AbstractBaseUser) -> Self:
        """Return the tasks that a person may yet judge, or judge anew: who said or wrote what is blind to them."""
        at_task = Assignment.objects.filter(task=OuterRef("pk"))
        own = at_task.filter(annotator_id=user.pk)
        own_text = Candidate.objects.filter(task=OuterRef("pk"), completion__author_id=user.pk)
        may_claim = Exists(at_task.empty()) & ~Exists(own) & ~Exists(own_text)
        return self.filter(Exists(own.not_final()) | may_claim)


class Task(models.Model):
    """A prompt to judge, or a proposal to review. Its candidate set never changes once people see it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tasks")
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, null=True, blank=True, related_name="tasks")
    proposal = models.OneToOneField(Proposal, on_delete=models.CASCADE, null=True, blank=True, related_name="task")
    kind = models.CharField(max_length=20)
    candidates = models.ManyToManyField(Completion, through="Candidate", related_name="tasks")
    seats = models.PositiveSmallIntegerField(default=1)
    planned_seats = models.PositiveSmallIntegerField(
        default=1, help_text="Annotators by the settings; `seats` also follows agreement and conflicts."
    )
    calibration = models.BooleanField(default=False, help_text="Every annotator gets it.")
    priority = models.IntegerField(default=0, help_text="Higher comes first.")
    origin = models.CharField(
        max_length=50, blank=True, help_text="The run that opened it; makes storing results repeatable."
    )
    place = models.PositiveSmallIntegerField(
        default=0,
        help_text="Among the tasks of its kind that a run opened for its prompt: 0, and further ones where each "
        "response has a task of its own.",
    )
    purpose = models.CharField(max_length=8, choices=Purpose, default=Purpose.WORK)
    can_be_undone = models.BooleanField(
        default=True, help_text="Whether its annotation can be undone; not where it showed who wrote what."
    )
    repeat_of = models.ForeignKey("self", on_delete=models.CASCADE, null=True, blank=True, related_name="repeats")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TaskQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(purpose__in=FOR_ANYBODY, repeat_of=None)
                | (~Q(purpose__in=FOR_ANYBODY) & Q(repeat_of__isnull=False)),
                name="only_checks_repeat_a_task",
            ),
            models.CheckConstraint(condition=Q(seats__gte=1), name="task_has_a_seat"),
            models.CheckConstraint(
                condition=Q(kind="proposal", prompt=None, proposal__isnull=False)
                | (~Q(kind="proposal") & Q(prompt__isnull=False, proposal=None)),
                name="task_has_a_prompt_or_a_proposal",
            ),
            models.UniqueConstraint(
                fields=["origin", "prompt", "kind", "place"], condition=~Q(origin=""), name="task_opened_once_per_run"
            ),
            models.CheckConstraint(condition=Q(place=0) | Q(kind="unary"), name="only_unary_tasks_have_places"),
        ]
        indexes = [models.Index(fields=["project", "priority", "id"], name="tasks_by_priority")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

    @property
    def messages(self) -> list[dict[str, str]]:
        """Return the conversation that is judged; an empty one for a proposal."""
        return list(self.prompt.messages) if self.prompt else []

    @property
    def title(self) -> str:
        return str(self.prompt or self.proposal)


class Candidate(models.Model):
    task = models.ForeignKey(Task, on_delete=models.CASCADE)
    completion = models.ForeignKey(Completion, on_delete=models.PROTECT)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["task", "completion"], name="candidate_once_per_task")]

    def __str__(self) -> str:
        return f"{self.completion_id} in {self.task_id}"


class SeatStatus(models.TextChoices):
    EMPTY = "empty", gettext_lazy("Empty")  # free
    HELD = "held", gettext_lazy("Held")  # a person works on it until expires_at
    DONE = "done", gettext_lazy("Done")  # judged
    SKIPPED = "skipped", gettext_lazy("Skipped")  # given back with a reason; a new empty seat took its place
    LAPSED = "lapsed", gettext_lazy("Expired")  # not renewed in time, and replaced by a new empty one
    LATE = "late", gettext_lazy("Late")  # judged after it had lapsed: kept as an extra judgment


UNDO_WITHIN = timedelta(minutes=10)  # in which a judgment may be taken back
MOST_UNDOS = 3  # of one judgment: each tells a little of what others said, by what happens to the task
COUNTED_OPEN = 1_000  # pages count open seats no further
OCCUPIED = [SeatStatus.EMPTY, SeatStatus.HELD, SeatStatus.DONE]
JUDGED = [SeatStatus.DONE, SeatStatus.LATE]


class AssignmentQuerySet(models.QuerySet["Assignment"]):
    def judged(self) -> Self:
        """Return the assignments that ended with a judgment."""
        return self.filter(status__in=JUDGED)

    def held(self) -> Self:
        """Return the assignments that their annotators work on."""
        return self.filter(status=SeatStatus.HELD)

    def empty(self) -> Self:
        """Return the assignments that are free."""
        return self.filter(status=SeatStatus.EMPTY)

    def not_final(self) -> Self:
        """Return the assignments whose judgment is still to come, or may be taken back and given anew."""
        recent = Q(status__in=JUDGED, finished_at__gt=clock.now() - UNDO_WITHIN, undos_left__gt=0)
        to_come = Q(status__in=[SeatStatus.HELD, SeatStatus.LAPSED])
        return self.filter(to_come | recent & Q(task__can_be_undone=True) & ~Q(task__purpose=Purpose.PRACTICE))


class Assignment(models.Model):
    """One seat at a task. The partial index below is what makes a task with n seats never have n + 1 holders."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="assignments")
    seat_number = models.PositiveSmallIntegerField(help_text="From 1 to the task's number of seats.")
    status = models.CharField(max_length=7, choices=SeatStatus, default=SeatStatus.EMPTY)
    annotator = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="assignments"
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    shown_order = models.JSONField(default=list, blank=True, help_text="Completion ids in the order that was shown.")
    draft = models.JSONField(default=dict, blank=True)
    draft_saved_at = models.DateTimeField(null=True, blank=True)
    skip_reason = models.CharField(max_length=300, blank=True)
    active_ms = models.PositiveIntegerField(default=0, help_text="Milliseconds in which the page was in use.")
    claimed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    guidelines_number = models.PositiveIntegerField(
        null=True,
        blank=True,
        editable=False,
        help_text="The version of the guidelines that its annotator had acknowledged when it was submitted.",
    )
    # Copied from the task so that one index finds the next seat; neither ever changes there.
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="assignments")
    priority = models.IntegerField(default=0)
    undos_left = models.PositiveSmallIntegerField(
        default=MOST_UNDOS, help_text="How often its annotation may still be undone; 0 once others' are viewed."
    )

    objects = AssignmentQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["task", "seat_number"], condition=Q(status__in=OCCUPIED), name="one_holder_per_seat"
            ),
            models.UniqueConstraint(
                fields=["task", "annotator"],
                condition=Q(annotator__isnull=False),
                name="one_seat_per_annotator",
            ),
            models.CheckConstraint(
                condition=Q(status=SeatStatus.EMPTY, annotator=None)
                | (~Q(status=SeatStatus.EMPTY) & Q(annotator__isnull=False)),
                name="only_empty_seats_have_nobody",
            ),
            models.CheckConstraint(
                condition=Q(status__in=[SeatStatus.EMPTY, SeatStatus.HELD, SeatStatus.LAPSED], finished_at=None)
                | Q(
                    status__in=[SeatStatus.DONE, SeatStatus.SKIPPED, SeatStatus.LATE],
                    finished_at__isnull=False,
                ),
                name="seat_final_means_finished_at",
            ),
            models.CheckConstraint(
                condition=~Q(status=SeatStatus.HELD) | Q(expires_at__isnull=False), name="held_seats_expire"
            ),
        ]
        indexes = [
            models.Index(
                fields=["project", "-priority", "seat_number", "task"],
                condition=Q(status=SeatStatus.EMPTY),
                name="next_empty_seat",
            ),
            models.Index(
                fields=["project", "expires_at"], condition=Q(status=SeatStatus.HELD), name="next_lapsed_seat"
            ),
            models.Index(
                fields=["project", "annotator"], condition=Q(status=SeatStatus.HELD), name="seat_that_somebody_holds"
            ),
            models.Index(
                fields=["project", "annotator", "finished_at"],
                condition=Q(status__in=JUDGED),
                name="seats_that_are_judged",
            ),
            # Not partial: SQLite does not see that a status given as a parameter fits a condition.
            models.Index(fields=["project", "finished_at", "id"], name="annotations_in_order"),
        ]

    def __str__(self) -> str:
        return f"seat {self.seat_number} at {self.task_id}: {self.status}"

    def get_absolute_url(self) -> str:
        return reverse("assignment", args=[self.project.slug, self.key])

    @cached_property
    def key(self) -> int:
        """What stands for this row towards its annotator, whom the row's number would tell checks from work."""
        return key_of(self.pk, "assignment")

    def number_of(self, completion: int) -> int:
        """Return the number by which an answer is shown, from 1 on."""
        return self.shown_order.index(completion) + 1  # type: ignore[no-any-return]

    def completion_of(self, number: int) -> int | None:
        """Return the id of the answer that is shown by this number; None where there is none."""
        return self.shown_order[number - 1] if 1 <= number <= len(self.shown_order) else None
