"""How far people agree on what is good or bad, why responses are bad, and how long a unary judgment takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import combinations
from statistics import median
from typing import Any

from annotation.judged.rows import unary_that_count
from annotation.models import BadReason, Project
from annotation.quality.agreement import fleiss_kappa, nominal_alpha
from annotation.quality.figures import ratio
from annotation.quality.records import Records


def unary_report(project: Project, records: Records, *, without: Collection[int] = ()) -> dict[str, Any] | None:
    """Return the agreement of people who judged the same response, with the share of good ones; None without any.

    `records` and the reasons are those of all tasks but `without`.
    """
    if not records.unary:
        return None
    units = [[int(bool(record.good)) for record in found] for found in records.unary_by_task.values()]
    same, compared = [], []
    for values in units:
        if both := list(combinations(values, 2)):
            same.append(sum(first == second for first, second in both))
            compared.append(len(both))
    seconds = [record.active_ms / 1000 for record in records.unary if record.active_ms]
    return {
        "judgments": len(records.unary),
        "responses": len(units),
        "good": ratio([sum(values) for values in units], [len(values) for values in units], of="responses"),
        "agreement": ratio(same, compared, of="responses judged by two annotators"),
        "alpha": nominal_alpha(units),
        "kappa": fleiss_kappa(units),
        "reasons": _reasons(project, without),
        "median_seconds": round(median(seconds), 1) if seconds else None,
    }


def _reasons(project: Project, without: Collection[int]) -> list[dict[str, Any]]:
    """Return how often each reason was given for a bad response, the most frequent first."""
    said = unary_that_count(project).exclude(reason="").values_list("reason", "assignment__task_id")
    counts = Counter(reason for reason, task in said.iterator(2000) if task not in without)
    return [{"reason": BadReason(reason).value, "count": count} for reason, count in counts.most_common()]
