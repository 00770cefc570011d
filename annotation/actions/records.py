"""Bulk changes of records by hand: split, category, priority, archive, withdraw, assign, re-open, send back.

Each is one transaction, is recorded in the audit log, and stands in the history of every record that it changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop, ngettext_lazy

from annotation import audit, clock, live
from annotation.actions import assignments, coverage, passed_over, practice, queue, reopening
from annotation.actions.practice import PractiseFirst
from annotation.errors import NotPossible
from annotation.models import (
    Assignment,
    AuditAction,
    Completion,
    Project,
    Prompt,
    Purpose,
    RecordChange,
    RecordKind,
    SeatStatus,
    Split,
    Task,
)
from annotation.models.task import FOR_ANYBODY, OCCUPIED

ASSIGNED_FOR = timedelta(days=7)
MOST_ASSIGNED = 500
NAMED_IN_THE_LOG = 100  # ids
AT_ONCE = 500
# What became of a selection of one list.
CHANGED = {
    "prompts": ngettext_lazy("%(count)s prompt changed.", "%(count)s prompts changed.", "done"),
    "responses": ngettext_lazy("%(count)s response changed.", "%(count)s responses changed.", "done"),
    "references": ngettext_lazy("%(count)s reference changed.", "%(count)s references changed.", "done"),
    "annotations": ngettext_lazy("%(count)s annotation changed.", "%(count)s annotations changed.", "done"),
    "tasks": ngettext_lazy("%(count)s task changed.", "%(count)s tasks changed.", "done"),
}
# What the audit log says of one and of several records; it is stored in English.
NOTED = {
    RecordKind.PROMPT: (gettext_noop("%(count)s prompt: %(what)s"), gettext_noop("%(count)s prompts: %(what)s")),
    RecordKind.RESPONSE: (gettext_noop("%(count)s response: %(what)s"), gettext_noop("%(count)s responses: %(what)s")),
    RecordKind.TASK: (gettext_noop("%(count)s task: %(what)s"), gettext_noop("%(count)s tasks: %(what)s")),
}
SPLIT = {Split.TRAIN: gettext_noop("split: Train"), Split.EVAL: gettext_noop("split: Eval")}


@dataclass
class BulkOutcome:
    """How many records an action changed, and how many it left as they are, by reason."""

    done: int = 0
    left: Counter[str] = field(default_factory=Counter)

    def in_words(self, records: str) -> str:
        """Return what became of the selection in a list, such as "12 prompts changed. 3 unchanged: …"."""
        said = CHANGED[records] % {"done": self.done, "count": f"{self.done:,}"}
        unchanged = gettext("%(count)s unchanged: %(why)s.")
        return " ".join([said, *(unchanged % {"count": f"{n:,}", "why": why} for why, n in self.left.items())])


@transaction.atomic
def set_split(*, project: Project, prompts: Sequence[Prompt], split: Split, by: User) -> BulkOutcome:
    """Move prompts to a split. What a snapshot may hold already does not become held-out: training has seen it."""
    outcome, moved = BulkOutcome(), []
    newest = project.snapshots.aggregate(at=Max("cutoff"))["at"] if split == Split.EVAL else None
    for prompt in prompts:
        if prompt.split == split:
            outcome.left[gettext("already in this split")] += 1
        elif newest and prompt.created_at <= newest:
            outcome.left[gettext("older than a snapshot, so training may have used them")] += 1
        else:
            moved.append(prompt.pk)
    for part in _parts(moved):
        outcome.done += Prompt.objects.filter(pk__in=part).exclude(split=split).update(split=split)
    _note(project, RecordKind.PROMPT, moved, SPLIT[split], by)
    return outcome


@transaction.atomic
def set_category(*, project: Project, prompts: Sequence[Prompt], category: str, by: User) -> BulkOutcome:
    """Give prompts a category; an empty one takes it away."""
    changed = [prompt.pk for prompt in prompts if prompt.category != category]
    for part in _parts(changed):
        Prompt.objects.filter(pk__in=part).update(category=category)
    what = gettext_noop("category: %(category)s") % {"category": category} if category else gettext_noop("no category")
    _note(project, RecordKind.PROMPT, changed, what, by)
    return _outcome(changed, prompts, gettext("already in this category"))


@transaction.atomic
def archive_prompts(*, project: Project, prompts: Sequence[Prompt], by: User) -> BulkOutcome:
    """Take prompts out of all new tasks and rounds. Open tasks stay; nothing is deleted."""
    active = [prompt.pk for prompt in prompts if prompt.withdrawn_at is None]
    for part in _parts(active):
        Prompt.objects.in_force().filter(pk__in=part).update(withdrawn_at=timezone.now())
    _note(project, RecordKind.PROMPT, active, gettext_noop("archived"), by)
    return _outcome(active, prompts, gettext("already archived"))


@transaction.atomic
def restore_prompts(*, project: Project, prompts: Sequence[Prompt], by: User) -> BulkOutcome:
    """Let archived prompts be asked again. A version that was edited stays archived: a newer one took its place."""
    outcome, back = BulkOutcome(), []
    newer = set(Prompt.objects.filter(replaces__in=[each.pk for each in prompts]).values_list("replaces_id", flat=True))
    for prompt in prompts:
        if prompt.withdrawn_at is None:
            outcome.left[gettext("not archived")] += 1
        elif prompt.pk in newer:
            outcome.left[gettext("replaced by a newer version")] += 1
        else:
            back.append(prompt.pk)
    for part in _parts(back):
        outcome.done += Prompt.objects.filter(pk__in=part).update(withdrawn_at=None)
    _note(project, RecordKind.PROMPT, back, gettext_noop("restored"), by)
    return outcome


@transaction.atomic
def withdraw_responses(*, project: Project, responses: Sequence[Completion], by: User) -> BulkOutcome:
    """Take responses out of all new tasks. Tasks that are open keep them: their candidates never change."""
    active = [response.pk for response in responses if response.withdrawn_at is None]
    for part in _parts(active):
        Completion.objects.in_force().filter(pk__in=part).update(withdrawn_at=timezone.now())
    _note(project, RecordKind.RESPONSE, active, gettext_noop("withdrawn"), by)
    return _outcome(active, responses, gettext("already withdrawn"))


@transaction.atomic
def restore_responses(*, project: Project, responses: Sequence[Completion], by: User) -> BulkOutcome:
    """Let withdrawn responses take part in new tasks again; texts that were erased stay withdrawn."""
    outcome, back = BulkOutcome(), []
    for response in responses:
        if response.withdrawn_at is None:
            outcome.left[gettext("not withdrawn")] += 1
        elif not response.text:
            outcome.left[gettext("erased at the request of their author")] += 1
        else:
            back.append(response.pk)
    for part in _parts(back):
        outcome.done += Completion.objects.filter(pk__in=part).update(withdrawn_at=None)
    _note(project, RecordKind.RESPONSE, back, gettext_noop("restored"), by)
    return outcome


@transaction.atomic
def set_priority(*, project: Project, tasks: Sequence[Task], priority: int, by: User) -> BulkOutcome:
    """Give tasks a priority: higher ones come first in the queue."""
    changed = [task.pk for task in tasks if task.priority != priority]
    for part in _parts(changed):
        Task.objects.filter(pk__in=part).update(priority=priority)
        Assignment.objects.empty().filter(task__in=part).update(priority=priority)
    _note(project, RecordKind.TASK, changed, gettext_noop("priority: %(priority)s") % {"priority": priority}, by)
    _queue_changed(project)
    return _outcome(changed, tasks, gettext("already at this priority"))


@transaction.atomic
def assign(*, project: Project, tasks: Sequence[Task], to: User, by: User) -> BulkOutcome:
    """Reserve an open seat of each task for a member, for seven days; these come before other tasks.

    Raises NotPossible for too many tasks at once, for somebody who is no member, and before their qualification.
    """
    if len(tasks) > MOST_ASSIGNED:
        raise NotPossible(
            gettext("Assign at most %(MOST_ASSIGNED)s tasks at once; %(count)s are selected.")
            % {"MOST_ASSIGNED": MOST_ASSIGNED, "count": f"{len(tasks):,}"}
        )
    if not project.memberships.filter(user_id=to.pk).exists():
        raise NotPossible(gettext("%(to)s is not a member of %(project)s.") % {"to": to, "project": project})
    if project.closed_at:
        raise NotPossible(gettext("The project is closed: no tasks are assigned."))
    try:
        practice.require(project, to)
    except PractiseFirst as unqualified:
        raise NotPossible(gettext("%(to)s has not passed the qualification yet.") % {"to": to}) from unqualified
    outcome, assigned = BulkOutcome(), []
    for task in tasks:
        if why := _not_for(task, to):
            outcome.left[why] += 1
        elif _reserve(task, to):
            assigned.append(task.pk)
        else:
            outcome.left[gettext("no open assignment")] += 1
    outcome.done = len(assigned)
    _note(project, RecordKind.TASK, assigned, gettext_noop("assigned"), by, subject=to)
    _queue_changed(project)
    return outcome


def _not_for(task: Task, person: User) -> str:
    """Return why a task cannot be assigned to a person; empty where it can."""
    if task.purpose not in FOR_ANYBODY:
        return gettext("a check of one person")
    if task.assignments.filter(annotator_id=person.pk).exists():
        return gettext("%(person)s already has or had them") % {"person": person}
    if task.candidates.filter(author_id=person.pk).exists():
        return gettext("%(person)s wrote one of their responses") % {"person": person}
    return ""


def _reserve(task: Task, person: User) -> bool:
    """Move the first empty assignment of a task to HELD by a person; return False where there is none."""
    now = clock.now()
    for pk in task.assignments.empty().order_by("seat_number").values_list("pk", flat=True):
        try:
            with transaction.atomic():
                taken = Assignment.objects.filter(pk=pk, status=SeatStatus.EMPTY).update(
                    status=SeatStatus.HELD,
                    annotator_id=person.pk,
                    claimed_at=now,
                    expires_at=assignments.lease_end(task.project, ASSIGNED_FOR),
                    shown_order=queue.shown_order(pk),
                )
        except IntegrityError:
            return False  # the person took another seat of the task in this moment
        if taken:
            return True
    return False


@transaction.atomic
def reopen(*, project: Project, tasks: Sequence[Task], by: User) -> BulkOutcome:
    """Ask one more annotator for each task that has no open assignment."""
    outcome, reopened = BulkOutcome(), []
    for task in tasks:
        locked = Task.objects.select_for_update().get(pk=task.pk)
        if locked.purpose != Purpose.WORK:
            outcome.left[gettext("a check or an evaluation, not regular work")] += 1
        elif locked.assignments.empty().exists():
            outcome.left[gettext("already open")] += 1
        else:
            highest = locked.assignments.filter(status__in=OCCUPIED).aggregate(most=Max("seat_number"))["most"] or 0
            Assignment.objects.create(
                task=locked, seat_number=highest + 1, project_id=locked.project_id, priority=locked.priority
            )
            Task.objects.filter(pk=locked.pk).update(seats=highest + 1, planned_seats=highest + 1)
            reopened.append(locked.pk)
    outcome.done = len(reopened)
    _note(project, RecordKind.TASK, reopened, gettext_noop("re-opened for one more annotation"), by)
    _queue_changed(project)
    return outcome


@transaction.atomic
def close_tasks(*, project: Project, tasks: Sequence[Task], by: User) -> BulkOutcome:
    """Take tasks out of the queue: their open seats go; what people hold or submitted stays."""
    is_open = Assignment.objects.empty().filter(task__in=[task.pk for task in tasks])
    closed = sorted(set(is_open.values_list("task_id", flat=True)))
    coverage.close_empty_seats(project=project, tasks=closed)
    _note(project, RecordKind.TASK, closed, gettext_noop("taken out of the queue"), by)
    return _outcome(closed, tasks, gettext("they have no open assignment"))


def send_back(*, project: Project, annotations: Sequence[Assignment], reason: str, by: User) -> BulkOutcome:
    """Send annotations back to their authors for correction, each by itself; those that cannot be are counted."""
    outcome = BulkOutcome()
    if not reason.strip():
        raise NotPossible(gettext("Write what should be corrected: the annotators see it with the task."))
    for annotation in annotations:
        try:
            reopening.send_back(assignment=annotation, by=by, reason=reason)
            outcome.done += 1
        except NotPossible as refusal:
            outcome.left[str(refusal).rstrip(".")] += 1
    return outcome


def note_change(*, project: Project, record: RecordKind, pk: int, what: str, by: User) -> None:
    """Store a change of one record for its history. Call it in the transaction of the change."""
    RecordChange.objects.create(project=project, record=record, record_id=pk, what=what[:300], by_id=by.pk)


def _note(
    project: Project, record: RecordKind, ids: Sequence[int], what: str, by: User, *, subject: User | None = None
) -> None:
    """Record a change of many records: one event in the audit log, one line in the history of each."""
    if not ids:
        return
    RecordChange.objects.bulk_create(
        [
            RecordChange(project=project, record=record, record_id=pk, what=what[:300], by_id=by.pk, subject=subject)
            for pk in ids
        ],
        batch_size=AT_ONCE,
    )
    audit.record(
        AuditAction.RECORDS_CHANGED,
        by=by,
        subject=subject,
        project=project,
        what=NOTED[record][len(ids) != 1] % {"count": f"{len(ids):,}", "what": what},
        ids=list(ids[:NAMED_IN_THE_LOG]),
        count=len(ids),
    )


def _queue_changed(project: Project) -> None:
    passed_over.invalidate(project.pk)
    live.announce(project.pk, "queue")


def _outcome(changed: Sequence[int], selected: Sequence[object], why: str) -> BulkOutcome:
    outcome = BulkOutcome(len(changed))
    if left := len(selected) - len(changed):
        outcome.left[why] = left
    return outcome


def _parts(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))
