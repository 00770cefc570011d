"""Task kinds: what is asked, what an answer looks like, how it is stored.

To add one: a module here with a class like those below, a row in KINDS, `templates/annotation/kinds/<kind>.html`,
and a test file.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol
from uuid import UUID

from django import forms

from annotation.kinds.label import LabelKind
from annotation.kinds.proposal import ProposalKind
from annotation.kinds.ranking import RankingKind
from annotation.kinds.reference import ReferenceKind
from annotation.models import Assignment
from annotation.models.judgment import Judgment


class TaskKind(Protocol):
    label: ClassVar[str]
    asks: ClassVar[str]
    template: ClassVar[str]
    judgment: ClassVar[type[Judgment]]

    def form(self, assignment: Assignment, data: Any = None) -> forms.Form: ...

    def shows_candidates(self, assignment: Assignment) -> bool:
        """Return whether this person may see the other answers yet."""

    def page(self, assignment: Assignment) -> dict[str, Any]:
        """Return what the kind's template needs beside the candidates; `asks` is the page's heading."""

    def said(self, *, assignment: Assignment, answer: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of a judgment with this answer, by name."""

    def save(self, *, assignment: Assignment, client_uuid: UUID, answer: dict[str, Any]) -> Judgment: ...


KINDS: dict[str, TaskKind] = {
    "ranking": RankingKind(),
    "reference": ReferenceKind(),
    "label": LabelKind(),
    "proposal": ProposalKind(),
}
