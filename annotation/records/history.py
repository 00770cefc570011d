"""What happened to one record, the newest last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext

from annotation import pseudonyms, stored
from annotation.models import Completion, Flag, Prompt, RecordChange, RecordKind, Task


@dataclass(frozen=True)
class HistoryEvent:
    """`who` is a user name; empty where no person did it."""

    at: datetime
    what: str
    who: str = ""


def of_prompt(prompt: Prompt) -> list[HistoryEvent]:
    """Return the history of a prompt: where it came from, changes by hand, tasks, reports."""
    imported = gettext("imported from %(file)s")
    origin = imported % {"file": prompt.upload.filename} if prompt.upload else gettext("added")
    events = [HistoryEvent(prompt.created_at, origin)]
    opened = prompt.tasks.order_by("created_at").values_list("created_at", "kind", "pk")
    said = gettext("task %(task)s opened (%(kind)s)")
    events += [HistoryEvent(at, said % {"task": pk, "kind": gettext(kind)}) for at, kind, pk in opened[:100]]
    events += _flags(Flag.objects.filter(prompt=prompt))
    return _sorted(events, RecordKind.PROMPT, prompt.pk)


def of_response(response: Completion) -> list[HistoryEvent]:
    """Return the history of a response: how it came about, tasks that show it, changes by hand, reports."""
    events = [HistoryEvent(response.created_at, gettext("added"))]
    shown = response.tasks.order_by("created_at").values_list("created_at", "pk")
    said = gettext("candidate of task %(task)s")
    events += [HistoryEvent(at, said % {"task": pk}) for at, pk in shown[:100]]
    events += _flags(Flag.objects.filter(completion=response))
    return _sorted(events, RecordKind.RESPONSE, response.pk)


def of_task(task: Task) -> list[HistoryEvent]:
    """Return the history of a task: opened, changes by hand."""
    return _sorted([HistoryEvent(task.created_at, gettext("opened"))], RecordKind.TASK, task.pk)


def _flags(flags: object) -> list[HistoryEvent]:
    events = []
    for flag in flags.select_related("raised_by", "settled_by"):  # type: ignore[attr-defined]
        said = gettext("reported: %(reason)s") % {"reason": flag.get_reason_display()}
        events.append(HistoryEvent(flag.created_at, said, pseudonyms.known_as(flag.project_id, flag.raised_by)))
        if flag.settled_at:
            said = gettext("report settled: %(outcome)s") % {"outcome": flag.get_status_display()}
            events.append(HistoryEvent(flag.settled_at, said, flag.settled_by.get_username()))
    return events


def _sorted(events: list[HistoryEvent], record: RecordKind, pk: int) -> list[HistoryEvent]:
    changes = RecordChange.objects.filter(record=record, record_id=pk).select_related("by", "subject")
    for change in changes:
        what = stored.translated(change.what)
        if change.subject:
            what = gettext("%(what)s to %(whom)s") % {
                "what": what,
                "whom": pseudonyms.known_as(change.project_id, change.subject),
            }
        events.append(HistoryEvent(change.at, what, change.by.get_username()))
    return sorted(events, key=lambda event: event.at)
