"""The pool: proposed tasks that people accepted, as they left them. Nothing learns from any other proposal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, F, OuterRef, QuerySet, Subquery
from django.utils import timezone

from annotation.judged.decisions import Decisions
from annotation.models import Project, Proposal, ProposalReview, Verdict, Withdrawal

ACCEPTED = [Verdict.ACCEPT, Verdict.EDIT]


@dataclass(frozen=True)
class PoolItem:
    """`review` is the last word on the proposal, and the texts are those that it left."""

    proposal: Proposal
    review: ProposalReview

    @property
    def edited(self) -> bool:
        return self.review.verdict == Verdict.EDIT

    @property
    def instruction(self) -> str:
        return (self.review if self.edited else self.proposal).instruction

    @property
    def input(self) -> str:
        return (self.review if self.edited else self.proposal).input

    @property
    def output(self) -> str:
        return (self.review if self.edited else self.proposal).output


def reviews_that_count(project: Project, cutoff: datetime | None = None) -> QuerySet[ProposalReview]:
    """Return the reviews without withdrawn ones and without those of excluded annotators."""
    until = cutoff or timezone.now()
    withdrawn = Withdrawal.objects.filter(
        project=OuterRef("assignment__project"),
        person=OuterRef("assignment__annotator"),
        created_at__gte=OuterRef("created_at"),
    )
    reviews = ProposalReview.objects.filter(assignment__project=project, created_at__lte=until)
    excluded = Decisions(project, until).excluded
    return reviews.exclude(Exists(withdrawn)).exclude(assignment__annotator__in=excluded)


def reviewed(project: Project, cutoff: datetime | None = None) -> Any:
    """Return all proposals, annotated with their last counted review: `verdict`, `reason`, `reviewed_in`."""
    last = reviews_that_count(project, cutoff).filter(assignment__task__proposal=OuterRef("pk")).order_by("-pk")
    return project.proposals.annotate(
        verdict=Subquery(last.values("verdict")[:1]),
        reason=Subquery(last.values("reason")[:1]),
        reviewed_in=Subquery(last.values("pk")[:1]),
        task_id=F("task__pk"),
    )


def pooled(project: Project, cutoff: datetime | None = None) -> Any:
    return reviewed(project, cutoff).filter(verdict__in=ACCEPTED).select_related("batch__policy")


def items(proposals: Iterable[Proposal]) -> Iterator[PoolItem]:
    """Yield the accepted tasks of `pooled` proposals."""
    given = list(proposals)
    ids = {proposal.pk: getattr(proposal, "reviewed_in") for proposal in given}  # noqa: B009 - annotated
    reviews = ProposalReview.objects.select_related("assignment").in_bulk(list(ids.values()))
    for proposal in given:
        yield PoolItem(proposal, reviews[ids[proposal.pk]])


def pool(project: Project, cutoff: datetime | None = None) -> Iterator[PoolItem]:
    """Yield accepted tasks in the order of the proposals; the last counted review of each decides."""
    return items(pooled(project, cutoff).order_by("pk"))
