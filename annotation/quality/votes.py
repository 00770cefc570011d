"""What a snapshot takes of a task: its rankings with their weights, without those of excluded people; or, where a
reviewer has decided, that one order instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Q

from annotation.models import Adjudication, Assignment, Exclusion, Membership, Project
from annotation.quality.agreement import Tiers


@dataclass(frozen=True)
class Vote:
    tiers: Tiers
    annotator: str
    unacceptable: Sequence[int] = field(default_factory=list)
    weight: float = 1.0
    unranked: Sequence[int] = field(default_factory=list)
    strength: int | None = None
    ratings: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class Votes:
    """Read once for a whole snapshot. `excluded` are ids of people."""

    def __init__(self, project: Project, cutoff: datetime) -> None:
        standing = Exclusion.objects.filter(Q(lifted_at=None) | Q(lifted_at__gt=cutoff), created_at__lte=cutoff)
        self.excluded = set(standing.filter(project=project).values_list("annotator_id", flat=True))
        self.weights: dict[int, float] = {}
        if project.use_weights:
            self.weights = dict(Membership.objects.filter(project=project).values_list("user_id", "weight"))
        decided = Adjudication.objects.filter(Q(withdrawn_at=None) | Q(withdrawn_at__gt=cutoff), created_at__lte=cutoff)
        self.decided = {row.task_id: row for row in decided.filter(task__project=project).order_by("id")}

    def of(self, task: int, seats: Sequence[Assignment], counts: Counter[str]) -> list[Vote]:
        """The votes of seats that have a ranking; `counts` learns what was left out or replaced."""
        if seats and (order := self.decided.get(task)):
            counts["adjudicated tasks"] += 1
            counts["rankings replaced by an adjudication"] += len(seats)
            return [Vote(order.tiers, f"reviewer-{order.adjudicated_by_id}", order.unacceptable)]
        kept = [seat for seat in seats if seat.annotator_id not in self.excluded]
        counts["rankings of excluded annotators"] += len(seats) - len(kept)
        return [
            Vote(
                seat.ranking.tiers,
                f"annotator-{seat.annotator_id}",
                seat.ranking.unacceptable,
                self.weights.get(seat.annotator_id or 0, 1.0),
                seat.ranking.unranked,
                seat.ranking.strength,
                seat.ranking.ratings,
            )
            for seat in kept
        ]
