"""Bring feedback before people: open tasks over the texts that it is about, and accept edits that a person has read."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.db import models, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext, gettext_lazy, gettext_noop

from annotation import audit, live
from annotation.actions import coverage, passed_over
from annotation.actions.feedback import ORIGIN
from annotation.actions.records import note_change
from annotation.actions.tasks import blind_candidates, open_task
from annotation.blinding import BlindCheck
from annotation.errors import NotPossible
from annotation.models import AuditAction, Candidate, Completion, Feedback, Project, Prompt, Purpose, RecordKind

MOST_OPENED = 1000  # tasks of one action; the same action again goes on with those that are left
MOST_ACCEPTED = 500
AT_ONCE = 200


class FeedbackTask(models.TextChoices):
    """What annotators are asked about the texts of a feedback."""

    UNARY = "unary", gettext_lazy("Is the response good or bad?")
    RANKING = "ranking", gettext_lazy("Rank the response, the alternative and the edit")
    REFERENCE = "reference", gettext_lazy("Write a reference response")


@dataclass
class OpenedTasks:
    """How many tasks were opened, and for how much feedback none was, by reason; `more`: the limit was reached."""

    opened: int = 0
    left: Counter[str] = field(default_factory=Counter)
    more: bool = False


@dataclass(frozen=True)
class _Wanted:
    """A task to open: its prompt and its candidates."""

    prompt: Prompt
    candidates: tuple[Completion, ...]

    @property
    def ids(self) -> frozenset[int]:
        return frozenset(each.pk for each in self.candidates)


def open_tasks(
    *, project: Project, found: QuerySet[Feedback], kind: FeedbackTask, by: User, priority: int = 0
) -> OpenedTasks:
    """Open tasks over the texts of this feedback, each set of texts once however many end users spoke of it.

    Annotators see the prompt and the texts and nothing of what end users said. Raises NotPossible where none fits.
    """
    outcome = OpenedTasks()
    seen: set[frozenset[int]] = set()
    for part in _parts(found):
        wanted = []
        for each in part:
            task, why = _wanted(each, kind)
            if why:
                outcome.left[why] += 1
            elif task.ids in seen:
                outcome.left[gettext("about the same texts as another")] += 1
            else:
                seen.add(task.ids)
                wanted.append(task)
        check = BlindCheck(project, (text.text.strip() for task in wanted for text in task.candidates))
        _open(project, kind, wanted, check, outcome, by, priority)
        if outcome.more:
            break
    if not outcome.opened and not outcome.left:
        raise NotPossible(gettext("Select at least one feedback."))
    return outcome


def _parts(found: QuerySet[Feedback]) -> Iterator[list[Feedback]]:
    """Yield feedback with its texts, a part at a time, so that no transaction holds the database for long."""
    last: int | None = None
    while True:
        rest = found.order_by("-pk") if last is None else found.filter(pk__lt=last).order_by("-pk")
        part = list(rest.select_related("prompt", "completion", "alternative", "edit")[:AT_ONCE])
        if not part:
            return
        yield part
        last = part[-1].pk


def _wanted(feedback: Feedback, kind: FeedbackTask) -> tuple[_Wanted, str]:
    """Return the task for a feedback, and why there is none: an empty text where there is one."""
    others = [each for each in (feedback.alternative, feedback.edit) if each]
    texts = [feedback.completion] if kind == FeedbackTask.UNARY else [feedback.completion, *others]
    task = _Wanted(feedback.prompt, tuple(each for each in texts if each.text and each.withdrawn_at is None))
    if feedback.prompt.withdrawn_at is not None:
        return task, gettext("the prompt is archived")
    if feedback.completion not in task.candidates:
        return task, gettext("the response is withdrawn")
    if kind == FeedbackTask.RANKING and len(task.candidates) < 2:
        return task, gettext("there is nothing to compare the response with")
    return task, ""


@transaction.atomic
def _open(
    project: Project,
    kind: FeedbackTask,
    wanted: Sequence[_Wanted],
    check: BlindCheck,
    outcome: OpenedTasks,
    by: User,
    priority: int,
) -> None:
    Project.objects.select_for_update().get(pk=project.pk)  # of two admins the later sees the tasks of the earlier
    there = _candidate_sets(kind, {task.prompt.pk for task in wanted})
    opened = 0
    for task in wanted:
        candidates = list(task.candidates)
        if kind != FeedbackTask.REFERENCE:
            candidates = blind_candidates(candidates, project, check)
        if any(task.ids <= known for known in there[task.prompt.pk]):
            outcome.left[gettext("in a task already")] += 1
        elif len(candidates) < (2 if kind == FeedbackTask.RANKING else 1):
            outcome.left[gettext("a text names the model that wrote it")] += 1
        elif outcome.opened + opened == MOST_OPENED:
            outcome.more = True
            break
        else:
            _open_one(project, kind, task, candidates, priority)
            opened += 1
    if opened:
        outcome.opened += opened
        audit.record(AuditAction.FEEDBACK_QUEUED, by=by, project=project, what=kind.value, count=opened)
        passed_over.invalidate(project.pk)
        live.announce(project.pk, "queue")


def _open_one(
    project: Project, kind: FeedbackTask, task: _Wanted, candidates: Sequence[Completion], priority: int
) -> None:
    calibration = kind != FeedbackTask.REFERENCE and coverage.is_calibration(task.prompt, project)
    seats = 1 if kind == FeedbackTask.REFERENCE else coverage.planned_seats(project, calibration=calibration)
    about = hashlib.sha256(" ".join(map(str, sorted(task.ids))).encode()).hexdigest()[:32]
    open_task(
        prompt=task.prompt,
        kind=kind.value,
        candidates=candidates,
        seats=seats,
        priority=priority,
        origin=f"{ORIGIN}-{about}",
        calibration=calibration,
    )


def _candidate_sets(kind: FeedbackTask, prompts: Iterable[int]) -> dict[int, list[set[int]]]:
    """Return by prompt the candidates of each task of this kind that there is, open or done."""
    rows = Candidate.objects.filter(task__prompt__in=prompts, task__kind=kind.value, task__purpose=Purpose.WORK)
    by_task: dict[tuple[int, int], set[int]] = defaultdict(set)
    for prompt, task, completion in rows.values_list("task__prompt_id", "task_id", "completion_id"):
        by_task[prompt, task].add(completion)
    found: dict[int, list[set[int]]] = defaultdict(list)
    for (prompt, _), candidates in by_task.items():
        found[prompt].append(candidates)
    return found


@transaction.atomic
def accept_edits(*, project: Project, found: QuerySet[Feedback], by: User) -> int:
    """Make reference responses of edits that a person has read; return how many were none before.

    From then on they are in snapshots of responses, as imported references. Raises NotPossible for none, and for more
    than a person reads.
    """
    edits = dict(found.exclude(edit=None).values_list("edit_id", "pk")[: MOST_ACCEPTED + 1])
    if not edits:
        raise NotPossible(gettext("Select feedback with an edit."))
    if len(edits) > MOST_ACCEPTED:
        raise NotPossible(gettext("Select at most %(most)s edits.") % {"most": MOST_ACCEPTED})
    accepted = 0
    for pk in sorted(edits):
        # The origin is what keeps it from being a reference; once it is gone another feedback makes a row of its own.
        there = Completion.objects.in_force().filter(pk=pk, project=project, origin=ORIGIN).exclude(text="")
        if there.update(origin="", index=0):
            what = gettext_noop("accepted as a reference response: the edit of an end user")
            note_change(project=project, record=RecordKind.RESPONSE, pk=pk, what=what, by=by)
            accepted += 1
    if accepted:
        audit.record(AuditAction.RECORDS_CHANGED, by=by, project=project, what="edits accepted", count=accepted)
    return accepted
