"""Freezing judgments into a file that training can be traced back to."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from annotation.actions import NotPossible
from annotation.models import Completion, DatasetSnapshot, Project, Ranking, SnapshotType, Task
from annotation.preferences import Pair, merge

Row = dict[str, Any]


def take_snapshot(*, project: Project, by: User | None) -> DatasetSnapshot:
    """All rankings until now as preference pairs, in TRL's format with an explicit prompt.

    The file is named by its SHA-256: taking a snapshot twice with no new judgment gives the same file.
    """
    cutoff = timezone.now()
    counts: Counter[str] = Counter()
    digest, rows = _write(preference_rows(project, cutoff, counts))
    if not rows:
        raise NotPossible("No ranking prefers one answer to another yet, so there is nothing to train on.")
    with transaction.atomic():
        Project.objects.select_for_update().get(pk=project.pk)  # numbers are given one at a time
        newest = project.snapshots.order_by("-number").values_list("number", flat=True).first() or 0
        return DatasetSnapshot.objects.create(
            project=project,
            number=newest + 1,
            type=SnapshotType.PREFERENCE,
            sha256=digest,
            rows=rows,
            counts=dict(counts),
            cutoff=cutoff,
            taken_by_id=by.pk if by else None,
        )


def preference_rows(project: Project, cutoff: datetime, counts: Counter[str]) -> Iterator[Row]:
    """One row per pair, in the order of the tasks. `group_id` is the task: pairs of one ranking stay together."""
    tasks = Task.objects.filter(project=project, kind="ranking").select_related("prompt").order_by("id")
    for task in tasks.prefetch_related("candidates").iterator(chunk_size=200):
        rankings = list(
            Ranking.objects.filter(assignment__task=task, created_at__lte=cutoff)
            .order_by("id")
            .values_list("tiers", flat=True)
        )
        if not rankings:
            counts["tasks without a ranking"] += 1
            continue
        counts["rankings"] += len(rankings)
        pairs, ties = merge(rankings)
        counts["ties"] += ties
        counts[f"{task.prompt.split} pairs"] += len(pairs)
        texts = {completion.pk: completion for completion in task.candidates.all()}
        for pair in pairs:
            yield _row(task, texts, pair)


def _row(task: Task, texts: dict[int, Completion], pair: Pair) -> Row:
    def message(pk: int) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": texts[pk].text}]

    return {
        "prompt": task.prompt.messages,
        "chosen": message(pair.chosen),
        "rejected": message(pair.rejected),
        "margin": pair.margin,
        "votes_for": pair.votes_for,
        "votes_against": pair.votes_against,
        "prompt_id": task.prompt_id,
        "group_id": task.pk,
        "split": task.prompt.split,
        "chosen_finished": texts[pair.chosen].finished,
        "rejected_finished": texts[pair.rejected].finished,
    }


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
