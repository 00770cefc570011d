"""The filters of each list, as django-filter has them."""

from __future__ import annotations

from typing import Any

import django_filters
from django import forms
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.translation import gettext_lazy

from annotation import pseudonyms
from annotation.kinds import KINDS
from annotation.models import (
    Assignment,
    Completion,
    Flag,
    FlagStatus,
    ImportedLabel,
    Project,
    Prompt,
    Purpose,
    ReviewComment,
    Revision,
    SeatStatus,
    Source,
    Split,
    Task,
)
from annotation.models.task import JUDGED

ARCHIVED = [("active", gettext_lazy("Active")), ("archived", gettext_lazy("Archived"))]
WITHDRAWN = [("active", gettext_lazy("In use")), ("withdrawn", gettext_lazy("Withdrawn"))]
STATES = [
    ("open", gettext_lazy("Open")),
    ("progress", gettext_lazy("In progress")),
    ("done", gettext_lazy("Completed")),
]
YES_NO = [("yes", gettext_lazy("Yes")), ("no", gettext_lazy("No"))]
KIND_CHOICES = [(name, gettext_lazy(kind.label)) for name, kind in KINDS.items()]


def _day(**values: Any) -> django_filters.DateFilter:
    return django_filters.DateFilter(widget=forms.DateInput(attrs={"type": "date"}), **values)


class RecordFilter(django_filters.FilterSet):
    """A list's filters, for one project: choices that depend on it are set as the form is made."""

    def __init__(self, data: Any, queryset: QuerySet[Any], *, project: Project) -> None:
        super().__init__(data, queryset=queryset)
        for name, choices in self.choices_of(project).items():
            self.filters[name].extra["choices"] = choices

    def choices_of(self, project: Project) -> dict[str, list[tuple[Any, str]]]:
        """Return the choices of filters that depend on the project."""
        return {}

    def _since_withdrawn(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return rows.filter(withdrawn_at__isnull=value == "active")


def _versions(project: Project) -> list[tuple[Any, str]]:
    return [(policy.pk, str(policy)) for policy in project.policies.order_by("-number")]


def _annotators(project: Project) -> list[tuple[Any, str]]:
    people = User.objects.filter(pk__in=project.memberships.values("user")).order_by("username")
    named = [(person.pk, pseudonyms.known_as(project.pk, person)) for person in people]
    return sorted(named, key=lambda person: person[1].lower())


class PromptFilter(RecordFilter):
    split = django_filters.ChoiceFilter(
        choices=Split.choices, label=gettext_lazy("Split"), empty_label=gettext_lazy("Any")
    )
    category = django_filters.CharFilter(label=gettext_lazy("Category"))
    status = django_filters.ChoiceFilter(
        choices=ARCHIVED, method="_since_withdrawn", label=gettext_lazy("Status"), empty_label=gettext_lazy("Any")
    )
    reported = django_filters.ChoiceFilter(
        choices=YES_NO, method="_reported", label=gettext_lazy("Reported"), empty_label=gettext_lazy("Any")
    )
    since = _day(field_name="created_at", lookup_expr="date__gte", label=gettext_lazy("Added since"))
    until = _day(field_name="created_at", lookup_expr="date__lte", label=gettext_lazy("Added until"))

    class Meta:
        model = Prompt
        fields: list[str] = []

    def _reported(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        flags = Exists(Flag.objects.filter(prompt=OuterRef("pk"), status=FlagStatus.OPEN))
        return rows.filter(flags if value == "yes" else ~flags)


class ResponseFilter(RecordFilter):
    version = django_filters.ChoiceFilter(
        field_name="policy_id", choices=[], label=gettext_lazy("Version"), empty_label=gettext_lazy("Any")
    )
    source = django_filters.ChoiceFilter(
        choices=Source.choices, label=gettext_lazy("Source"), empty_label=gettext_lazy("Any")
    )
    truncated = django_filters.ChoiceFilter(
        choices=YES_NO, method="_truncated", label=gettext_lazy("Truncated"), empty_label=gettext_lazy("Any")
    )
    status = django_filters.ChoiceFilter(
        choices=WITHDRAWN, method="_since_withdrawn", label=gettext_lazy("Status"), empty_label=gettext_lazy("Any")
    )
    split = django_filters.ChoiceFilter(
        field_name="prompt__split", choices=Split.choices, label=gettext_lazy("Split"), empty_label=gettext_lazy("Any")
    )
    since = _day(field_name="created_at", lookup_expr="date__gte", label=gettext_lazy("Added since"))
    until = _day(field_name="created_at", lookup_expr="date__lte", label=gettext_lazy("Added until"))

    class Meta:
        model = Completion
        fields: list[str] = []

    def choices_of(self, project: Project) -> dict[str, list[tuple[Any, str]]]:
        return {"version": _versions(project)}

    def _truncated(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return rows.filter(finished=value == "no")


class ReferenceFilter(RecordFilter):
    author = django_filters.ChoiceFilter(
        field_name="author_id", choices=[], label=gettext_lazy("Author"), empty_label=gettext_lazy("Any")
    )
    status = django_filters.ChoiceFilter(
        choices=WITHDRAWN, method="_since_withdrawn", label=gettext_lazy("Status"), empty_label=gettext_lazy("Any")
    )
    since = _day(field_name="created_at", lookup_expr="date__gte", label=gettext_lazy("Written since"))
    until = _day(field_name="created_at", lookup_expr="date__lte", label=gettext_lazy("Written until"))

    class Meta:
        model = Completion
        fields: list[str] = []

    def choices_of(self, project: Project) -> dict[str, list[tuple[Any, str]]]:
        return {"author": _annotators(project)}


class AnnotationFilter(RecordFilter):
    kind = django_filters.ChoiceFilter(
        field_name="task__kind", choices=KIND_CHOICES, label=gettext_lazy("Kind"), empty_label=gettext_lazy("Any")
    )
    annotator = django_filters.ChoiceFilter(
        field_name="annotator_id", choices=[], label=gettext_lazy("Annotator"), empty_label=gettext_lazy("Anyone")
    )
    purpose = django_filters.ChoiceFilter(
        field_name="task__purpose",
        choices=Purpose.choices,
        label=gettext_lazy("Purpose"),
        empty_label=gettext_lazy("Any"),
    )
    comments = django_filters.ChoiceFilter(
        choices=YES_NO, method="_comments", label=gettext_lazy("Comments"), empty_label=gettext_lazy("Any")
    )
    reopened = django_filters.ChoiceFilter(
        choices=YES_NO, method="_reopened", label=gettext_lazy("Former versions"), empty_label=gettext_lazy("Any")
    )
    since = _day(field_name="finished_at", lookup_expr="date__gte", label=gettext_lazy("Submitted since"))
    until = _day(field_name="finished_at", lookup_expr="date__lte", label=gettext_lazy("Submitted until"))

    class Meta:
        model = Assignment
        fields: list[str] = []

    def choices_of(self, project: Project) -> dict[str, list[tuple[Any, str]]]:
        return {"annotator": _annotators(project)}

    def _comments(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        comments = Exists(ReviewComment.objects.filter(assignment=OuterRef("pk")))
        return rows.filter(comments if value == "yes" else ~comments)

    def _reopened(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        revisions = Exists(Revision.objects.filter(assignment=OuterRef("pk")))
        return rows.filter(revisions if value == "yes" else ~revisions)


class LabelledFilter(RecordFilter):
    label = django_filters.CharFilter(label=gettext_lazy("Label"))
    split = django_filters.ChoiceFilter(
        choices=Split.choices, label=gettext_lazy("Split"), empty_label=gettext_lazy("Any")
    )

    class Meta:
        model = ImportedLabel
        fields: list[str] = []


class TaskFilter(RecordFilter):
    kind = django_filters.ChoiceFilter(
        choices=KIND_CHOICES, label=gettext_lazy("Kind"), empty_label=gettext_lazy("Any")
    )
    state = django_filters.ChoiceFilter(
        choices=STATES, method="_state", label=gettext_lazy("State"), empty_label=gettext_lazy("Any")
    )
    purpose = django_filters.ChoiceFilter(
        choices=Purpose.choices, label=gettext_lazy("Purpose"), empty_label=gettext_lazy("Any")
    )
    priority = django_filters.NumberFilter(label=gettext_lazy("Priority"))
    assigned = django_filters.ChoiceFilter(
        choices=[], method="_assigned", label=gettext_lazy("Reserved by"), empty_label=gettext_lazy("Anyone")
    )

    class Meta:
        model = Task
        fields: list[str] = []

    def choices_of(self, project: Project) -> dict[str, list[tuple[Any, str]]]:
        return {"assigned": _annotators(project)}

    def _state(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        at_task = Assignment.objects.filter(task=OuterRef("pk"))
        is_open, is_held = Exists(at_task.empty()), Exists(at_task.held())
        if value == "open":
            return rows.filter(is_open)
        if value == "progress":
            return rows.filter(is_held)
        return rows.filter(~is_open, ~is_held, Exists(at_task.filter(status__in=JUDGED)))

    def _assigned(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        held = Assignment.objects.filter(task=OuterRef("pk"), status=SeatStatus.HELD, annotator=int(value))
        return rows.filter(Exists(held))
