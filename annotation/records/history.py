"""What happened to one record, the newest last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from annotation.models import Completion, Flag, Prompt, RecordChange, RecordKind, Task


@dataclass(frozen=True)
class HistoryEvent:
    """`who` is a user name; empty where no person did it."""

    at: datetime
    what: str
    who: str = ""


def of_prompt(prompt: Prompt) -> list[HistoryEvent]:
    """Return the history of a prompt: where it came from, changes by hand, tasks, reports."""
    origin = f"imported from {prompt.upload.filename}" if prompt.upload else "added"
    events = [HistoryEvent(prompt.created_at, origin)]
    opened = prompt.tasks.order_by("created_at").values_list("created_at", "kind", "pk")
    events += [HistoryEvent(at, f"task {pk} opened ({kind})") for at, kind, pk in opened[:100]]
    events += _flags(Flag.objects.filter(prompt=prompt))
    return _sorted(events, RecordKind.PROMPT, prompt.pk)


def of_response(response: Completion) -> list[HistoryEvent]:
    """Return the history of a response: how it came about, tasks that show it, changes by hand, reports."""
    events = [HistoryEvent(response.created_at, "added")]
    shown = response.tasks.order_by("created_at").values_list("created_at", "pk")
    events += [HistoryEvent(at, f"candidate of task {pk}") for at, pk in shown[:100]]
    events += _flags(Flag.objects.filter(completion=response))
    return _sorted(events, RecordKind.RESPONSE, response.pk)


def of_task(task: Task) -> list[HistoryEvent]:
    """Return the history of a task: opened, changes by hand."""
    return _sorted([HistoryEvent(task.created_at, "opened")], RecordKind.TASK, task.pk)


def _flags(flags: object) -> list[HistoryEvent]:
    events = []
    for flag in flags.select_related("raised_by", "settled_by"):  # type: ignore[attr-defined]
        events.append(
            HistoryEvent(flag.created_at, f"reported: {flag.get_reason_display()}", flag.raised_by.get_username())
        )
        if flag.settled_at:
            events.append(HistoryEvent(flag.settled_at, f"report {flag.status}", flag.settled_by.get_username()))
    return events


def _sorted(events: list[HistoryEvent], record: RecordKind, pk: int) -> list[HistoryEvent]:
    changes = RecordChange.objects.filter(record=record, record_id=pk).select_related("by", "subject")
    for change in changes:
        whom = f" to {change.subject}" if change.subject else ""
        events.append(HistoryEvent(change.at, f"{change.what}{whom}", change.by.get_username()))
    return sorted(events, key=lambda event: event.at)
