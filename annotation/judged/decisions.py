"""What people decided about a project's rankings: whose are left out, how much each counts, and which order a reviewer
decided instead of the votes."""

from __future__ import annotations

from datetime import datetime

from annotation.models import Adjudication, Exclusion, Membership, Project


class Decisions:
    """As they stood at `cutoff`, read once for a whole snapshot.

    `excluded` are ids of people, `weights` are by person (1 where the project does not use them) and `decided` are
    adjudications by task.
    """

    def __init__(self, project: Project, cutoff: datetime) -> None:
        standing = Exclusion.objects.in_force_at(cutoff)
        self.excluded = set(standing.filter(project=project).values_list("annotator_id", flat=True))
        self.weights: dict[int, float] = {}
        if project.use_weights:
            self.weights = dict(Membership.objects.filter(project=project).values_list("user_id", "weight"))
        decided = Adjudication.objects.in_force_at(cutoff)
        self.decided = {row.task_id: row for row in decided.filter(task__project=project).order_by("id")}

    def weight(self, annotator: int) -> float:
        return self.weights.get(annotator, 1.0)
