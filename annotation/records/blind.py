"""What is hidden from a person who may still annotate a task: all that would tell them about its responses.

Reviewers are blind, and admins as soon as they annotate in the project themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

from django.contrib.auth.models import User

from annotation.models import Assignment, Candidate, Membership, Project, Role, SeatStatus, Task
from annotation.models.task import JUDGED


@dataclass(frozen=True)
class Viewer:
    """A reviewer or admin who looks at records."""

    user: User
    membership: Membership

    @property
    def project(self) -> Project:
        return self.membership.project

    @property
    def is_admin(self) -> bool:
        return self.membership.may_act_as(Role.ADMIN)

    @cached_property
    def is_blind(self) -> bool:
        """Return whether open tasks hide their responses' authors and annotations from this person."""
        if not self.is_admin:
            return True
        worked = [SeatStatus.HELD, SeatStatus.LAPSED, *JUDGED]
        return Assignment.objects.filter(project=self.project, annotator_id=self.user.pk, status__in=worked).exists()

    def hidden_tasks(self, tasks: Collection[int]) -> set[int]:
        """Return those of the tasks that this person may still annotate and should know nothing about."""
        if not tasks or not self.is_blind:
            return set()
        open_to_them = Task.objects.filter(pk__in=tasks).blind_to(self.user)
        return set(open_to_them.values_list("pk", flat=True))

    def hidden_among(self, tasks: Iterable[Task]) -> set[int]:
        """Return those of the tasks that this person may still annotate, for a page that lists tasks."""
        return self.hidden_tasks({task.pk for task in tasks})

    def hidden_responses(self, responses: Collection[int]) -> set[int]:
        """Return those of the responses that stand in a task that is hidden."""
        if not responses or not self.is_blind:
            return set()
        shown = list(Candidate.objects.filter(completion__in=responses).values_list("completion_id", "task_id"))
        hidden = self.hidden_tasks({task for _, task in shown})
        return {response for response, task in shown if task in hidden}
