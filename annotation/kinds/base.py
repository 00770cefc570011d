"""What a kind of task is: a form, a template, and the judgments that it stores."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.utils.translation import gettext

from annotation.models import Assignment
from annotation.models.judgment import Judgment

MOST_RESPONSES = 1000  # of one task; forms take no higher number of a response
OF_THE_ROW = {"id", "assignment_id", "client_uuid", "created_at"}


class TaskKind:
    """A kind of task. Subclasses have a form, say what an answer stores, and override what differs."""

    label: ClassVar[str]
    asks: ClassVar[str]
    template: ClassVar[str]
    judgment: ClassVar[type[Judgment]]

    def form(self, assignment: Assignment, data: Any = None) -> forms.Form:
        """Return the form of an answer."""
        raise NotImplementedError

    def shows_candidates(self, assignment: Assignment) -> bool:  # noqa: ARG002 - some kinds ask the assignment
        """Return whether this person may see the other answers yet."""
        return True

    def page(self, assignment: Assignment) -> dict[str, Any]:  # noqa: ARG002
        """Return what the kind's template needs beside the candidates; `asks` is the page's heading."""
        return {"asks": gettext(self.asks)}

    def said(self, *, assignment: Assignment, answer: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of a judgment with this answer, by name."""
        raise NotImplementedError

    def save(self, *, assignment: Assignment, client_uuid: UUID, answer: dict[str, Any]) -> Judgment:
        """Store and return the judgment of an answer, the form's cleaned data."""
        said = self.said(assignment=assignment, answer=answer)
        return self.judgment._default_manager.create(assignment=assignment, client_uuid=client_uuid, **said)

    def stored(self, judgment: Judgment) -> dict[str, Any]:
        """Return a stored judgment by the names that `said` has; completions by their ids."""
        fields = (field.attname for field in judgment._meta.concrete_fields if field.attname not in OF_THE_ROW)
        return {name.removesuffix("_id"): getattr(judgment, name) for name in fields}

    def draft(self, judgment: Judgment) -> dict[str, Any]:
        """Return a stored judgment as the page keeps a draft; answers by the numbers under which they were shown."""
        return self.stored(judgment)

    def take_back(self, judgment: Judgment) -> None:
        """Delete a judgment that is undone. Raises NotPossible where something else depends on it already."""
        judgment.delete()
