"""How far people agree on labels, which ones they confuse, and how long one takes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from itertools import combinations
from statistics import median
from typing import Any

from annotation.judged.rows import labels_that_count
from annotation.models import Project
from annotation.quality.agreement import fleiss_kappa
from annotation.quality.figures import ratio

CONFUSIONS_SHOWN = 10


def label_report(project: Project, *, without: Collection[int] = ()) -> dict[str, Any] | None:
    """Return the agreement of people who labelled the same text, pair by pair; None where there are no labels.

    Tasks `without` are left out.
    """
    by_task: dict[int, list[str]] = defaultdict(list)
    seconds = []
    rows = labels_that_count(project).values_list("assignment__task_id", "label", "assignment__active_ms")
    for task, label, active_ms in rows.iterator(2000):
        if task in without:
            continue
        by_task[task].append(label)
        if active_ms:
            seconds.append(active_ms / 1000)
    if not by_task:
        return None
    labels = sorted({label for given in by_task.values() for label in given})
    confused: Counter[tuple[str, str]] = Counter()
    same, compared = [], []
    for given in by_task.values():
        pairs_of_people = list(combinations(sorted(given), 2))
        if pairs_of_people:
            same.append(sum(first == second for first, second in pairs_of_people))
            compared.append(len(pairs_of_people))
            confused.update((first, second) for first, second in pairs_of_people if first != second)
    number = {label: place for place, label in enumerate(labels)}
    return {
        "labels": sum(map(len, by_task.values())),
        "texts": len(by_task),
        "agreement": ratio(same, compared, of="texts with two labels"),
        "kappa": fleiss_kappa([[number[label] for label in given] for given in by_task.values()]),
        "confusions": [
            {"first": first, "second": second, "count": count}
            for (first, second), count in confused.most_common(CONFUSIONS_SHOWN)
        ],
        "median_seconds": round(median(seconds), 1) if seconds else None,
    }
