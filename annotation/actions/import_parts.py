"""A file that waits is cut into parts: its rows by prompt, so that each later turn reads only what it imports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice

from django.db import transaction

from annotation import clock, live
from annotation.actions import upload_contents
from annotation.imports import ParsedPrompts, PromptRow, Reading, stored
from annotation.imports.batches import FIRST_ROWS, parse_batches
from annotation.imports.spool import Spool
from annotation.models import ImportStatus, Prompt, PromptUpload, UploadPart
from annotation.models.claim import next_turn

ROWS_AT_ONCE = 500  # of a part, which is one transaction
PARTS_AT_ONCE = 50  # in one INSERT
REFUSED_SHOWN = 1000


class ImportOvertaken(Exception):
    """The file was paused, or another worker took it over: the batch is rolled back."""


class ImportStopped(Exception):
    """The worker stops while it reads a file: another one reads it again from its beginning."""


def never() -> bool:
    """Return False: nobody stops the worker."""
    return False


def cut(upload: PromptUpload, stopping: Callable[[], bool] = never) -> bool:
    """Store the rows of a file as parts, once, before the first of them is imported; return whether they can be.

    They cannot be where fields that look like answers or votes stand behind the rows that a person saw: the file goes
    back to its preview. Raises UnreadableFile for a file that cannot be read to its end.
    """
    if upload.parsed is None and not upload.content and not upload.chunks.exists():
        return True
    seen = stored.loads(bytes(upload.parsed)) if upload.parsed is not None else None
    # Many short rows fit into a small file, of which a person has seen the first ones as well.
    in_part = seen is None or not seen.is_whole
    with Spool(_digest) as spool:
        read = 0
        for parsed in _batches(upload) if in_part or seen is None else [seen]:
            spool.add(parsed)
            read += parsed.count["rows"]
            _beat(upload, stopping, rows=read if in_part else upload.rows)
        if in_part and seen is not None and not spool.counters["stopping"].keys() <= seen.stopping.keys():
            _back_to_preview(upload, spool, seen)
            return False
        upload.parts.all().delete()  # of a worker that was stopped here
        _store(upload, spool, stopping)
        with transaction.atomic():
            _beat(upload, stopping, rows=spool.rows, parsed=None)
            upload_contents.forget(upload)
    upload.parsed, upload.rows = None, spool.rows
    return True


def _batches(upload: PromptUpload) -> Iterator[ParsedPrompts]:
    reading = Reading(upload.mapping, upload.labels, upload.shape, tuple(upload.ignore))
    with closing(upload_contents.opened(upload)) as file:
        yield from parse_batches(file, upload.filename, reading)


def _digest(row: PromptRow) -> str:
    return Prompt.digest_of(row.messages)


def _beat(upload: PromptUpload, stopping: Callable[[], bool], **changes: object) -> None:
    """Say that the worker is at it; raise ImportOvertaken where the file is not its own any more."""
    if stopping():
        raise ImportStopped
    if not PromptUpload.objects.still_ours(upload).update(heartbeat_at=clock.now(), **changes):
        raise ImportOvertaken
    live.announce(upload.project_id, "queue")


def _store(upload: PromptUpload, spool: Spool, stopping: Callable[[], bool]) -> None:
    parts = (
        UploadPart(upload=upload, number=number, rows=rows, parsed=content)
        for number, (rows, content) in enumerate(spool.parts(ROWS_AT_ONCE, upload.done))
    )
    for some in _some_at_once(parts):
        with transaction.atomic():
            UploadPart.objects.bulk_create(some)
            _beat(upload, stopping)


def _some_at_once(parts: Iterable[UploadPart]) -> Iterator[list[UploadPart]]:
    rest = iter(parts)
    while some := list(islice(rest, PARTS_AT_ONCE)):
        yield some


def _back_to_preview(upload: PromptUpload, spool: Spool, seen: ParsedPrompts) -> None:
    """Show a file again, with the fields that only later rows have."""
    counters = spool.counters
    names = ", ".join(f'"{name[:60]}"' for name in list(counters["stopping"].keys() - seen.stopping.keys())[:8])
    shown = ParsedPrompts(
        rows=seen.rows,
        refused=spool.refused(REFUSED_SHOWN),
        labels=seen.labels,
        not_used=counters["not_used"],
        stopping=counters["stopping"],
        shapes=counters["shapes"],
        count=counters["count"],
    )
    shown.count["more"] = 1
    why = (
        f"Rows after the first {FIRST_ROWS:,} have unused fields that look like responses, votes, labels or a "
        f"conversation: {names}. Nothing is imported yet. Map or ignore them below, or import the file without "
        "those rows."
    )
    PromptUpload.objects.still_ours(upload).update(
        status=ImportStatus.PREVIEW, parsed=stored.dumps(shown), error=why, rows=0, attempt=next_turn()
    )
    live.announce(upload.project_id, "queue")
