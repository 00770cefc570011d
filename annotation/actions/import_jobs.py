"""Imports that a worker does: in batches, each a transaction of its own, with pause, resume and undo.

    PREVIEW ─▶ QUEUED ⇄ RUNNING ─▶ TAKEN ─▶ UNDOING ─▶ UNDONE
                  ▲  ⇅                ▲
                  │ PAUSED ───────────┤ (what is there can be undone)
                  └ FAILED ───────────┘

A batch and the count of what is done are stored together, and only by the attempt that claimed the file: a worker that
was killed or overtaken leaves nothing twice, and the next one goes on behind the last batch.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import ProtectedError, Q

from annotation import audit, clock, live
from annotation.actions import import_parts, upload_contents
from annotation.actions.import_parts import ImportOvertaken, ImportStopped, never
from annotation.actions.import_reports import ImportReport
from annotation.actions.prompts import IMPORT, import_prompts
from annotation.errors import NotPossible
from annotation.imports import ParsedPrompts, Reading, UnreadableFile, stored
from annotation.models import (
    Assignment,
    AuditAction,
    Completion,
    Feedback,
    ImportedJudgment,
    ImportedLabel,
    ImportStatus,
    Project,
    Prompt,
    PromptUpload,
    Task,
    UploadPart,
)
from annotation.models.claim import in_turn, next_turn

logger = logging.getLogger(__name__)

LARGE = 2000  # a file of more rows is imported by a worker
ROWS_AT_ONCE = 500  # that one turn of an undo deletes
WORKS_FOR_SECONDS = 5.0  # then other things that wait have their turn
PREVIEW_KEPT = timedelta(days=7)
PREVIEWS_AT_ONCE = 50
WORKING = (ImportStatus.QUEUED, ImportStatus.RUNNING)
HALTED = (ImportStatus.PAUSED, ImportStatus.FAILED)
STARTED = (ImportStatus.TAKEN, ImportStatus.PAUSED, ImportStatus.FAILED)
SHOWN = 100
STOPPED = "The command imports this file, or was stopped in it: run the same command again to go on."
JUDGED = "Rows of this file are annotated, so the import cannot be undone. Archive single prompts instead."
BUILT_ON = (
    "Later responses, votes or feedback belong to prompts of this file, so the import cannot be undone. "
    "Undo the later import first."
)


def is_large(parsed: ParsedPrompts) -> bool:
    """Return whether a file is imported by a worker and not while its page waits."""
    return not parsed.is_whole or len(parsed.rows) + len(parsed.labels) > LARGE


def queue(*, upload: PromptUpload, parsed: ParsedPrompts) -> None:
    """Hand a file to the workers, with its rows where they are all read. A second click changes nothing."""
    rows = len(parsed.rows) + len(parsed.labels) if parsed.is_whole else 0
    with transaction.atomic():
        waiting = PromptUpload.objects.filter(pk=upload.pk, status=ImportStatus.PREVIEW)
        if waiting.update(status=ImportStatus.QUEUED, rows=rows, error=""):
            audit.record(AuditAction.IMPORTED, project=upload.project, what=f"upload {upload.pk}", rows=rows)
            if parsed.is_whole:
                PromptUpload.objects.filter(pk=upload.pk).update(parsed=stored.dumps(parsed))
                upload_contents.forget(upload)


@transaction.atomic
def begin(*, project: Project, filename: str, reading: Reading) -> PromptUpload:
    """Return the record of a file that the command imports itself, so that its page shows it and can undo it."""
    upload = PromptUpload.objects.create(
        project=project,
        filename=filename[-255:],
        content=b"",
        labels=reading.labels,
        mapping=dict(reading.mapping),
        shape=reading.shape,
        ignore=list(reading.ignore),
        status=ImportStatus.PAUSED,
        error=STOPPED,
        heartbeat_at=clock.now(),
    )
    audit.record(AuditAction.IMPORTED, project=project, what=f"upload {upload.pk}")
    return upload


def note(*, upload: PromptUpload, report: ImportReport) -> None:
    """Store how far the command is with a file; lists of rows that are not taken stay short until the end."""
    done = report.taken + report.duplicate_count
    shown = dataclasses.replace(
        report,
        refused=report.refused[:SHOWN],
        duplicates=report.duplicates[:SHOWN],
        more_refused=report.refused_count - len(report.refused[:SHOWN]),
        more_duplicates=report.duplicate_count - len(report.duplicates[:SHOWN]),
    )
    _command_is(upload, done=done, rows=max(report.rows, done), so_far=shown.as_json())


def end(*, upload: PromptUpload, report: ImportReport) -> None:
    """Mark a file that the command imported as taken. One that brought nothing new leaves no record."""
    if not report.taken:
        PromptUpload.objects.filter(pk=upload.pk).delete()
        return
    _command_is(upload, status=ImportStatus.TAKEN, error="", report=report.as_json(), so_far=None)


def _command_is(upload: PromptUpload, **changes: object) -> None:
    PromptUpload.objects.filter(pk=upload.pk).update(heartbeat_at=clock.now(), **changes)


def can_pause(upload: PromptUpload) -> bool:
    """Return whether a worker is at it, or will be."""
    return upload.status in WORKING


def can_resume(upload: PromptUpload) -> bool:
    """Return whether a worker can go on with it."""
    return upload.status in HALTED and upload.has_rows_left


def can_undo(upload: PromptUpload) -> bool:
    """Return whether there is anything to take back; what others built on it is looked at by `undo`."""
    return upload.status in STARTED and brought_anything(upload)


def pause(*, upload: PromptUpload) -> None:
    """Stop after the last whole batch; what is imported stays."""
    _move(upload, WORKING, ImportStatus.PAUSED, AuditAction.IMPORT_PAUSED)


def resume(*, upload: PromptUpload) -> None:
    """Let a paused or failed import go on behind its last batch."""
    if not upload.has_rows_left:
        raise NotPossible(STOPPED)
    _move(upload, HALTED, ImportStatus.QUEUED, AuditAction.IMPORT_RESUMED)


def undo(*, upload: PromptUpload) -> None:
    """Have workers delete what a file brought; raise NotPossible where somebody has judged or built on any of it."""
    if reason := reason_to_stay(upload):
        raise NotPossible(reason)
    _move(upload, STARTED, ImportStatus.UNDOING, AuditAction.IMPORT_UNDONE)


def reason_to_stay(upload: PromptUpload) -> str:
    """Return why an import cannot be undone; empty where it can."""
    brought = Q(task__prompt__upload=upload) | Q(task__candidates__upload=upload)
    if Assignment.objects.judged().filter(brought).exists():
        return JUDGED
    mine = {"prompt__upload": upload}
    later = Q(prompt__completions__upload=upload, created_at__gt=upload.heartbeat_at or upload.created_at)
    added = ImportedJudgment.objects.filter(Q(**mine) | later).exclude(upload=upload)
    rated = Feedback.objects.filter(Q(**mine) | Q(completion__upload=upload))
    if Completion.objects.filter(**mine).exclude(upload=upload).exists() or added.exists() or rated.exists():
        return BUILT_ON
    return ""


def brought_anything(upload: PromptUpload) -> bool:
    """Return whether rows of a file are in the project: those of files from before this was noted are not known."""
    kinds = (Prompt, Completion, ImportedJudgment, ImportedLabel)
    return any(kind._default_manager.filter(upload=upload).exists() for kind in kinds)


@transaction.atomic
def _move(upload: PromptUpload, before: tuple[str, ...], after: str, action: AuditAction) -> None:
    if PromptUpload.objects.filter(pk=upload.pk, status__in=before).update(status=after, error="", attempt=next_turn()):
        audit.record(action, project=upload.project, what=f"upload {upload.pk}")
    live.announce(upload.project_id, "queue")


def work_next(stopping: Callable[[], bool] = never) -> bool:
    """Work some seconds on one import or undo that waits; return False where none does.

    A file that is read for the first time is read to its end, unless the worker is `stopping`.
    """
    now = clock.now()
    lost_after = timedelta(seconds=settings.TRAINING_HEARTBEAT_TIMEOUT_SECONDS)
    lost = Q(status=ImportStatus.RUNNING, heartbeat_at__lt=now - lost_after)
    upload = (
        PromptUpload.objects.filter(lost | Q(status=ImportStatus.QUEUED))
        .order_by("pk")
        .claim(status=ImportStatus.RUNNING, heartbeat_at=now)
    )
    undoing = None
    if upload is None:
        undoing = PromptUpload.objects.filter(status=ImportStatus.UNDOING).order_by("pk").first()
    if upload is None and undoing is None:
        return False
    try:
        if upload is not None:
            _import_some(upload, stopping)
        elif undoing is not None:
            _undo_some(undoing)
    except ImportOvertaken:
        logger.info("%s was paused or taken over", upload)
    return True


def forget_previews() -> int:
    """Delete some of the files that were previewed and not taken for a while; return how many."""
    with_file = PromptUpload.objects.filter(status=ImportStatus.PREVIEW)
    old = with_file.filter(created_at__lt=clock.now() - PREVIEW_KEPT)
    if not old.exists():  # a transaction to write would wait for others each time
        return 0
    with transaction.atomic():
        found = list(old.select_for_update().values_list("pk", flat=True)[:PREVIEWS_AT_ONCE])
        PromptUpload.objects.filter(pk__in=found).only("pk").delete()  # the files themselves are not read
    logger.info("%s files were previewed and not taken for %s days: deleted", len(found), PREVIEW_KEPT.days)
    return len(found)


def _import_some(upload: PromptUpload, stopping: Callable[[], bool]) -> None:
    """Import batches until the time is over or nothing is left; a file that fails again and again stops with why."""
    if not in_turn(upload.attempt):
        _settle(upload, status=ImportStatus.FAILED, error="The worker went away several times in the same batch.")
        return
    until = time.monotonic() + WORKS_FOR_SECONDS
    total = ImportReport.from_json(upload.so_far) if upload.so_far else ImportReport()
    try:
        if not import_parts.cut(upload, stopping):
            return
        while part := upload.parts.order_by("number").first():
            _take(upload, part, total)
            # After one that went away a batch is enough: the count of attempts in vain begins anew.
            if time.monotonic() > until or in_turn(upload.attempt) > 1:
                break
    except ImportOvertaken:
        raise
    except ImportStopped:
        _settle(upload, status=ImportStatus.QUEUED, attempt=next_turn())
        return
    except UnreadableFile as problem:
        _settle(upload, status=ImportStatus.FAILED, error=str(problem))
        return
    except Exception as problem:
        logger.exception("%s could not be imported", upload)
        _settle(upload, status=ImportStatus.FAILED, error=f"Row {upload.done}: {problem}"[:2000])
        return
    if upload.parts.exists():
        _settle(upload, status=ImportStatus.QUEUED, attempt=next_turn())
        return
    total.refused.sort(key=lambda row: row.line)
    total.duplicates.sort(key=lambda row: row.line)
    _settle(upload, status=ImportStatus.TAKEN, report=total.as_json(), so_far=None)


def _take(upload: PromptUpload, part: UploadPart, total: ImportReport) -> None:
    """Store a part, and with it how far the import is; the part goes."""
    parsed = stored.loads(bytes(part.parsed))
    rows = total.rows or parsed.count["rows"] or upload.rows + len(parsed.refused)
    done = upload.done + part.rows

    def note_progress(report: ImportReport) -> None:
        total.add(report)
        total.rows = rows
        part.delete()
        changes = {"done": done, "so_far": total.as_json(), "heartbeat_at": clock.now()}
        if not PromptUpload.objects.still_ours(upload).update(**changes):
            raise ImportOvertaken

    import_prompts(project=upload.project, parsed=parsed, by=upload.uploaded_by, upload=upload, also=note_progress)
    upload.done = done
    live.announce(upload.project_id, "queue")


def _settle(upload: PromptUpload, **changes: object) -> None:
    PromptUpload.objects.still_ours(upload).update(heartbeat_at=clock.now(), **changes)
    live.announce(upload.project_id, "queue")


def _undo_some(upload: PromptUpload) -> None:
    """Delete what a file brought, batch by batch; where somebody judged meanwhile the rest stays, with that reason."""
    until = time.monotonic() + WORKS_FOR_SECONDS
    while True:
        try:
            with transaction.atomic():
                if reason := reason_to_stay(upload):
                    raise NotPossible(reason)
                left = _delete_batch(upload)
        except (ProtectedError, NotPossible) as problem:
            error = str(problem) if isinstance(problem, NotPossible) else BUILT_ON
            _end_undo(upload, status=ImportStatus.FAILED, error=error)
            return
        if not left:
            upload.parts.all().delete()
            upload_contents.forget(upload)
            _end_undo(upload, status=ImportStatus.UNDONE, done=0, parsed=None, error="")
            return
        if time.monotonic() > until:
            return


def _end_undo(upload: PromptUpload, **changes: object) -> None:
    PromptUpload.objects.filter(pk=upload.pk, status=ImportStatus.UNDOING).update(**changes)
    live.announce(upload.project_id, "queue")


def _delete_batch(upload: PromptUpload) -> bool:
    """Delete some of what a file brought; return whether there was anything."""
    votes = ImportedJudgment.objects.filter(upload=upload).values("pk")[:ROWS_AT_ONCE]
    if ImportedJudgment.objects.filter(pk__in=list(votes.values_list("pk", flat=True))).delete()[0]:
        return True
    answers = list(Completion.objects.filter(upload=upload).values_list("pk", flat=True)[:ROWS_AT_ONCE])
    if answers:
        Task.objects.filter(origin=IMPORT, candidates__in=answers).delete()
        Completion.objects.filter(pk__in=answers).delete()
        return True
    prompts = list(Prompt.objects.filter(upload=upload).values_list("pk", flat=True)[:ROWS_AT_ONCE])
    if prompts:
        Prompt.objects.filter(pk__in=prompts).delete()
        return True
    labels = list(ImportedLabel.objects.filter(upload=upload).values_list("pk", flat=True)[:ROWS_AT_ONCE])
    ImportedLabel.objects.filter(pk__in=labels).delete()
    return bool(labels)
