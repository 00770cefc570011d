"""Freezing judgments into a file that training can be traced back to."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from annotation.exports import EXPORTS, Row
from annotation.models import DatasetSnapshot, Project, SnapshotType


def take_snapshot(
    *, project: Project, by: User | None, type: SnapshotType = SnapshotType.PREFERENCE
) -> DatasetSnapshot:
    """All judgments until now as rows of a type that `annotation.exports` has.

    The file is named by its SHA-256: taking a snapshot twice with no new judgment gives the same file.
    """
    cutoff = timezone.now()
    counts: Counter[str] = Counter()
    digest, rows = _write(EXPORTS[type](project, cutoff, counts))
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)  # numbers are given one at a time
        newest = project.snapshots.order_by("-number").values_list("number", flat=True).first() or 0
        return DatasetSnapshot.objects.create(
            project=project,
            number=newest + 1,
            type=type,
            sha256=digest,
            rows=rows,
            counts={name: count for name, count in counts.items() if count},
            cutoff=cutoff,
            taken_by_id=by.pk if by else None,
        )


def _write(rows: Iterator[Row]) -> tuple[str, int]:
    folder = Path(settings.SNAPSHOT_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"taking-{os.getpid()}-{timezone.now().timestamp()}.tmp"
    digest, count = hashlib.sha256(), 0
    try:
        with temporary.open("wb") as file:
            for row in rows:
                line = json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n"
                digest.update(line)
                file.write(line)
                count += 1
        name = digest.hexdigest()
        temporary.replace(folder / f"{name}.jsonl")
    finally:
        temporary.unlink(missing_ok=True)
    return name, count
