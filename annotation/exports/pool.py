"""The pool: proposed tasks that people accepted, as they left them. Nothing learns from any other proposal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from annotation.models import Project, Proposal, ProposalReview, Verdict, Withdrawal
from annotation.quality.votes import Decisions


@dataclass(frozen=True)
class PoolItem:
    """`review` is the last word on the proposal, and the texts are those that it left."""

    proposal: Proposal
    review: ProposalReview
    instruction: str
    input: str
    output: str

    @property
    def edited(self) -> bool:
        return self.review.verdict == Verdict.EDIT


def reviews_that_count(project: Project) -> QuerySet[ProposalReview]:
    """Without those of people who withdrew what they said, or whose judgments are left out."""
    withdrawn = Withdrawal.objects.filter(
        project=OuterRef("assignment__project"), person=OuterRef("assignment__annotator"),
        created_at__gte=OuterRef("created_at"),
    )  # fmt: skip
    reviews = ProposalReview.objects.filter(assignment__project=project).exclude(Exists(withdrawn))
    return reviews.exclude(assignment__annotator__in=Decisions(project, timezone.now()).excluded)


def pool(project: Project, cutoff: datetime | None = None) -> Iterator[PoolItem]:
    """In the order of the proposals. Of several reviews of one, the last counts."""
    reviews = reviews_that_count(project)
    if cutoff is not None:
        reviews = reviews.filter(created_at__lte=cutoff)
    last = {review.assignment.task_id: review for review in reviews.select_related("assignment").order_by("id")}
    accepted = [task for task, review in last.items() if review.verdict != Verdict.REJECT]
    proposals = project.proposals.filter(task__in=accepted).select_related("task", "batch__policy").order_by("id")
    for proposal in proposals.iterator(500):
        review = last[proposal.task.pk]
        texts = review if review.verdict == Verdict.EDIT else proposal
        yield PoolItem(proposal, review, texts.instruction, texts.input, texts.output)
