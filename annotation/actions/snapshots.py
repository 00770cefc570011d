"""Freezing judgments into a file that training can be traced back to."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from annotation import audit
from annotation.delivery import webhooks
from annotation.durable import make_folder, put_in_place
from annotation.errors import NotPossible
from annotation.exports import EXPORTS, Filter, SnapshotContext, SnapshotRow
from annotation.exports.card import CardTally
from annotation.exports.writers import ListItems, json_line
from annotation.models import AIJudgeVersion, AuditAction, DatasetSnapshot, Event, Project, SnapshotType, Withdrawal

WITH_END_USERS = (SnapshotType.UNPAIRED, SnapshotType.RANKING, SnapshotType.JUDGMENTS)
WITH_JUDGE = (SnapshotType.PREFERENCE, SnapshotType.RANKING, SnapshotType.JUDGMENTS)


def take_snapshot(
    *,
    project: Project,
    by: User | None,
    type: SnapshotType = SnapshotType.PREFERENCE,
    wanted: Filter | None = None,
) -> DatasetSnapshot:
    """Store the judgments until now that are asked for, as rows of a type, and return the snapshot.

    The file is named by its SHA-256: taking a snapshot twice with no new judgment gives the same file.
    """
    _check_judge(project, type, wanted or Filter())
    _check_end_users(type, wanted or Filter())
    tally = CardTally()
    taking = SnapshotContext(project, timezone.now(), wanted or Filter(), tally=tally)
    with _written(EXPORTS[type](taking)) as (temporary, digest, rows):
        card = tally.as_json(project)
        with transaction.atomic():
            Project.objects.select_for_update().get(pk=project.pk)  # numbers are given one at a time
            snapshot = DatasetSnapshot.objects.create(
                project=project,
                number=project.snapshots.next_number(),
                type=type,
                sha256=digest,
                rows=rows,
                counts={name: count for name, count in taking.counts.items() if count},
                filter=taking.wanted.as_json(),
                card=card,
                cutoff=taking.cutoff,
                taken_by_id=by.pk if by else None,
            )
            data = {name: getattr(snapshot, name) for name in ("number", "type", "rows", "sha256")}
            webhooks.record_event(project=project, event=Event.SNAPSHOT, data=data)
            audit.record(AuditAction.SNAPSHOT, by=by, project=project, what=f"snapshot {snapshot.number}", **data)
            # Last of all before the commit: where the database refuses the row, no file stays that none names.
            put_in_place(temporary, temporary.with_name(f"{digest}.jsonl"))
    return snapshot


def _check_judge(project: Project, type: SnapshotType, wanted: Filter) -> None:
    """Raise NotPossible where judgments of an AI judge are asked for that cannot be in the file."""
    if not wanted.judge:
        return
    if type not in WITH_JUDGE:
        raise NotPossible(gettext("AI judgments join preference, ranking and raw annotation snapshots only."))
    if not AIJudgeVersion.objects.filter(pk=wanted.judge, judge__project=project).exists():
        raise NotPossible(gettext("This project has no such version of an AI judge."))
    if not 0 < wanted.judge_weight <= 1:
        raise NotPossible(gettext("Give AI judgments a weight above 0, up to 1: a person's is 1."))


def _check_end_users(type: SnapshotType, wanted: Filter) -> None:
    """Raise NotPossible where thumbs of end users are asked for that cannot be in the file."""
    if not wanted.end_users:
        return
    if type not in WITH_END_USERS:
        raise NotPossible(gettext("Thumbs of end users join unpaired, ranking and raw annotation snapshots only."))
    if not 0 < wanted.end_user_weight <= 1:
        raise NotPossible(gettext("Give thumbs of end users a weight above 0, up to 1: an annotation's is 1."))


@contextmanager
def _written(rows: Iterator[SnapshotRow]) -> Iterator[tuple[Path, str, int]]:
    """Give a file that holds the rows, its SHA-256 and their number; the file goes unless it was moved."""
    folder = Path(settings.SNAPSHOT_DIR)
    make_folder(folder)
    temporary = folder / f"taking-{os.getpid()}-{timezone.now().timestamp()}.tmp"
    ordered = temporary.with_suffix(".ordered.tmp")
    try:
        count, first = _write_rows(rows, temporary)
        if first:
            _put_first(first, temporary, ordered)
            ordered.replace(temporary)
        with temporary.open("rb+") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())  # here, so that no transaction waits for it
        yield temporary, digest, count
    finally:
        for path in (temporary, ordered):
            path.unlink(missing_ok=True)


def _write_rows(rows: Iterator[SnapshotRow], path: Path) -> tuple[int, list[int]]:
    """Write a row on each line; return their number, and those that belong to the beginning (`ListItems`)."""
    items = ListItems()
    count, first = 0, []
    with path.open("wb") as file:
        for row in rows:
            if items.come_with(row):
                first.append(count)
            file.write(json_line(row))
            count += 1
    return count, first


def _put_first(first: list[int], source: Path, target: Path) -> None:
    """Write the lines of a file in their order, but those with these numbers before all others."""
    wanted = set(first)
    with target.open("wb") as ordered:
        for chosen in (True, False):
            with source.open("rb") as file:
                ordered.writelines(line for number, line in enumerate(file) if (number in wanted) is chosen)


@transaction.atomic
def withdraw(*, project: Project, person: User, by: User | None) -> list[DatasetSnapshot]:
    """Stop counting a person's judgments until now; return the snapshots that hold some, now marked.

    Files stay as they are: what was trained on must remain what it was.
    """
    Project.objects.select_for_update().get(pk=project.pk)
    withdrawal = Withdrawal.objects.create(project=project, person_id=person.pk, created_by_id=by.pk if by else None)
    touched = [snapshot for snapshot in project.snapshots.all() if holds(snapshot, person)]
    project.snapshots.filter(pk__in=[snapshot.pk for snapshot in touched]).update(withdrawn_at=withdrawal.created_at)
    audit.record(
        AuditAction.WITHDRAWN, by=by, subject=person, project=project, snapshots=[each.number for each in touched]
    )
    return touched


def holds(snapshot: DatasetSnapshot, person: User) -> bool:
    """Return whether a snapshot holds judgments of a person: by its card; without one it may."""
    if snapshot.card:
        return f"annotator-{person.pk}" in snapshot.card["people"]
    return snapshot.project.assignments.filter(annotator_id=person.pk, finished_at__lte=snapshot.cutoff).exists()


def data_card(snapshot: DatasetSnapshot) -> dict[str, Any]:
    """Return everything that a snapshot states about itself, for a program."""
    return {
        "project": snapshot.project.slug,
        "number": snapshot.number,
        "type": snapshot.type,
        "sha256": snapshot.sha256,
        "rows": snapshot.rows,
        "unit": snapshot.unit,
        "counts": snapshot.counts,
        "filter": snapshot.filter,
        "cutoff": snapshot.cutoff.isoformat(),
        "withdrawn_at": snapshot.withdrawn_at.isoformat() if snapshot.withdrawn_at else None,
        **snapshot.card,
    }
