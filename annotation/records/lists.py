"""The lists of the data browser, one class each: rows, filters, sorts, and what of a row is exported."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext_noop

from annotation.kinds import KINDS
from annotation.models import Assignment, Completion, ImportedLabel, Project, Prompt, SeatStatus, Source, Task
from annotation.models import words as indexes
from annotation.models.task import JUDGED
from annotation.models.words import Indexed
from annotation.records import filters
from annotation.records.blind import Viewer

RecordRow = Any


@dataclass(frozen=True)
class Sort:
    """An order by one indexed field and then the id, both ascending or both descending."""

    name: str
    label: str
    field: str = "id"
    descending: bool = True


NEWEST, OLDEST = (
    Sort("newest", gettext_noop("Newest first")),
    Sort("oldest", gettext_noop("Oldest first"), descending=False),
)


class RecordList:
    """A list of one kind of record. `search_key` is the field of a row that a search finds.

    `rows_of` names the list whose template draws its rows, where that is not its own.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    about: ClassVar[str]
    filter: ClassVar[type[filters.RecordFilter]]
    indexes: ClassVar[tuple[Indexed, ...]]
    search_label: ClassVar[str]
    search_key: ClassVar[str] = "id"
    leaves_out: ClassVar[bool] = False  # rows that a person must not see yet
    rows_of: ClassVar[str] = ""
    sorts: ClassVar[tuple[Sort, ...]] = (NEWEST, OLDEST)

    def rows(self, project: Project) -> QuerySet[Any]:
        """Return all rows of a project, in no order."""
        raise NotImplementedError

    def with_details(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows with what a page or a file shows of them."""
        return rows

    def hidden(self, viewer: Viewer, rows: Collection[RecordRow]) -> set[int]:
        """Return the ids of the rows that this person must not see yet."""
        return set()

    def exported(self, row: RecordRow, *, blind: bool = False) -> dict[str, Any]:
        """Return a row as a file has it; `blind` without what the person must not see yet."""
        raise NotImplementedError


class PromptList(RecordList):
    name, label = "prompts", gettext_noop("Prompts")
    about = gettext_noop("What the policy is asked. Held-out prompts (split eval) are never trained on.")
    filter = filters.PromptFilter
    indexes = (indexes.PROMPTS,)
    search_label = gettext_noop("Search prompts")

    def rows(self, project: Project) -> QuerySet[Prompt]:
        return Prompt.objects.filter(project=project)

    def exported(self, row: Prompt, *, blind: bool = False) -> dict[str, Any]:
        return {
            "id": row.pk,
            "external_id": row.external_id,
            "messages": row.messages,
            "split": row.split,
            "category": row.category,
            "replaces": row.replaces_id,
            "archived_at": row.withdrawn_at,
            "created_at": row.created_at,
        }


class Responses(RecordList):
    name, label = "responses", gettext_noop("Responses")
    about = gettext_noop("Responses of policy versions, people and imported files.")
    filter: ClassVar[type[filters.RecordFilter]] = filters.ResponseFilter
    indexes = (indexes.RESPONSES,)
    search_label = gettext_noop("Search responses")
    leaves_out = True

    def rows(self, project: Project) -> QuerySet[Completion]:
        return Completion.objects.filter(project=project)

    def with_details(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.select_related("prompt", "policy", "author")

    def hidden(self, viewer: Viewer, rows: Collection[RecordRow]) -> set[int]:
        return viewer.hidden_responses([row.pk for row in rows])

    def exported(self, row: Completion, *, blind: bool = False) -> dict[str, Any]:
        return {
            "id": row.pk,
            "prompt_id": row.prompt_id,
            "source": row.source,
            "version": row.policy.number if row.policy else None,
            "author": row.author.get_username() if row.author else None,
            "text": row.text,
            "truncated": not row.finished,
            "tokens": row.tokens,
            "logprob": row.logprob,
            "sampling": row.sampling,
            "withdrawn_at": row.withdrawn_at,
            "created_at": row.created_at,
        }


class References(Responses):
    name, label = "references", gettext_noop("References")
    about = gettext_noop(
        "Reference responses that annotators wrote. Imported ones are responses of the source “Imported”."
    )
    filter = filters.ReferenceFilter
    rows_of = "responses"
    search_label = gettext_noop("Search reference responses")

    def rows(self, project: Project) -> QuerySet[Completion]:
        return Completion.objects.filter(project=project, source=Source.PERSON)


class Annotations(RecordList):
    name, label = "annotations", gettext_noop("Annotations")
    about = gettext_noop(
        "What annotators submitted: rankings, comparisons, good or bad, labels, reference responses, reviews."
    )
    filter = filters.AnnotationFilter
    indexes = (indexes.RATIONALES, indexes.COMMENTS, indexes.UNARY)
    search_label = gettext_noop("Search rationales")
    leaves_out = True
    sorts = (
        Sort("newest", gettext_noop("Newest first"), "finished_at"),
        Sort("oldest", gettext_noop("Oldest first"), "finished_at", False),
    )

    def rows(self, project: Project) -> QuerySet[Assignment]:
        return Assignment.objects.filter(project=project, status__in=JUDGED, finished_at__isnull=False)

    def with_details(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        said = [kind.judgment._meta.model_name or "" for kind in KINDS.values()]
        return rows.select_related("annotator", "task__prompt", "task__proposal", *said, "referenceanswer__completion")

    def hidden(self, viewer: Viewer, rows: Collection[RecordRow]) -> set[int]:
        # The person's own annotations are not hidden: a task that they annotated is none that they may still annotate.
        tasks = viewer.hidden_tasks({row.task_id for row in rows})
        return {row.pk for row in rows if row.task_id in tasks}

    def exported(self, row: Assignment, *, blind: bool = False) -> dict[str, Any]:
        return {
            "id": row.pk,
            "task_id": row.task_id,
            "prompt_id": row.task.prompt_id,
            "kind": row.task.kind,
            "purpose": row.task.purpose,
            "annotator": row.annotator.get_username() if row.annotator else None,
            "submitted_at": row.finished_at,
            "active_ms": row.active_ms,
            "guidelines_version": row.guidelines_number,
            "shown_order": row.shown_order,
            "answer": answer_of(row),
        }


class Labelled(RecordList):
    name, label = "labels", gettext_noop("Labelled texts")
    about = gettext_noop("Texts imported with their label. Labels by annotators are annotations of the kind “Label”.")
    filter = filters.LabelledFilter
    indexes = (indexes.LABELLED,)
    search_label = gettext_noop("Search texts")

    def rows(self, project: Project) -> QuerySet[ImportedLabel]:
        return ImportedLabel.objects.filter(project=project)

    def exported(self, row: ImportedLabel, *, blind: bool = False) -> dict[str, Any]:
        return {
            "id": row.pk,
            "text": row.text,
            "label": row.label,
            "annotator": row.annotator,
            "split": row.split,
            "created_at": row.created_at,
        }


class Tasks(RecordList):
    name, label = "tasks", gettext_noop("Tasks")
    about = gettext_noop("A prompt with a fixed set of responses, and the number of annotations it needs.")
    filter = filters.TaskFilter
    indexes = (indexes.PROMPTS,)
    search_label = gettext_noop("Search the tasks' prompts")
    search_key = "prompt_id"
    sorts = (NEWEST, OLDEST, Sort("priority", gettext_noop("Highest priority first"), "priority"))

    def rows(self, project: Project) -> QuerySet[Task]:
        return Task.objects.filter(project=project)

    def with_details(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.select_related("prompt", "proposal").prefetch_related("assignments__annotator")

    def exported(self, row: Task, *, blind: bool = False) -> dict[str, Any]:
        """Return a row as a file has it. Who has which seat, and how many there are, tells what others said."""
        seats = [] if blind else list(row.assignments.all())
        return {
            "id": row.pk,
            "prompt_id": row.prompt_id,
            "kind": row.kind,
            "purpose": row.purpose,
            "priority": row.priority,
            "annotations_wanted": row.planned_seats if blind else row.seats,
            "annotations_done": None if blind else sum(each.status in JUDGED for each in seats),
            "in_progress": None if blind else sum(each.status == SeatStatus.HELD for each in seats),
            "created_at": row.created_at,
        }


LISTS: dict[str, RecordList] = {
    each.name: each for each in (PromptList(), Responses(), Annotations(), References(), Labelled(), Tasks())
}


def answer_of(assignment: Assignment) -> dict[str, Any]:
    """Return what an assignment's annotation says, by the names of its kind's fields; empty where there is none."""
    kind = KINDS[assignment.task.kind]
    judgment = getattr(assignment, kind.judgment._meta.model_name or "", None)
    return kind.stored(judgment) if judgment else {}
