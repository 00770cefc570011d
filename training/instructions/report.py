"""How many held-out rows are answered rightly before and after tuning, with intervals, by cluster; and in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import sqrt

from annotation.stats.bootstrap import mean_interval, rounded
from annotation.stats.quantiles import Z95
from training.instructions.recast import UNSEEN_TASKS, UNSEEN_TEMPLATES
from training.phrases import phrase
from training.rundir import Row

NAMES = {UNSEEN_TEMPLATES: phrase("Unseen wordings of trained tasks"), UNSEEN_TASKS: phrase("Unseen tasks")}


def same_answer(given: str, wanted: str) -> bool:
    """Return whether two answers are equal except for case, outer space and a final full stop."""
    return _plain(given) == _plain(wanted)


def mentions(given: str, wanted: str) -> bool:
    """Return whether the right answer occurs in the text as whole words."""
    return re.search(rf"(?<!\w){re.escape(_plain(wanted))}(?!\w)", _plain(given)) is not None


def compare(rows: Iterable[Row]) -> Row:
    """Return figures by held-out split; rows: {split, cluster, before, after, mentioned_before, mentioned_after}.

    A model that answers in whole sentences never matches exactly, although it may know the answer. Answers that mention
    the right one are counted too, so that a gain in form can be told from a gain in knowledge.
    """
    found = list(rows)
    return {split: _figures([row for row in found if row["split"] == split]) for split in NAMES}


def wilson(right: int, n: int) -> list[float] | None:
    """Return the 95 % interval of a share (Wilson 1927): within 0 and 1, with a width even where all are right."""
    if not n:
        return None
    share, room = right / n, Z95 * Z95 / n
    middle = share + room / 2
    half = Z95 * sqrt(share * (1 - share) / n + room / (4 * n))
    ends = ((middle - half) / (1 + room), (middle + half) / (1 + room))
    return [round(min(1.0, max(0.0, end)), 4) for end in ends]


def in_words(split: str, figures: Row) -> str:
    """Return the comparison as one sentence for the page of a round."""
    if not figures["n"]:
        return ""
    low, high = figures["difference_ci95"]
    change = f"{figures['before']:.0%} right before, {figures['after']:.0%} after"
    interval = f"{100 * low:+.0f} to {100 * high:+.0f} points, 95% interval, {figures['n']} rows".replace("-", "−")
    if low > 0:
        outcome = "got better"
    elif high < 0:
        outcome = "got worse"
        if split == UNSEEN_TASKS:
            outcome += ", as FLAN saw with models of 8 billion parameters and fewer"
    else:
        outcome = "got neither clearly better nor clearly worse"
    mentioned = f"{figures['mentioned_before']:.0%} before, {figures['mentioned_after']:.0%} after"
    return f"{NAMES[split]} {outcome}: {change} ({interval}). Right or at least mentioned: {mentioned}."


def _figures(rows: Sequence[Row]) -> Row:
    clusters = list(dict.fromkeys(row["cluster"] for row in rows))
    return {
        **_of(rows),
        "clusters": [
            {"cluster": cluster, **_of([row for row in rows if row["cluster"] == cluster])} for cluster in clusters
        ],
    }


def _of(rows: Sequence[Row]) -> Row:
    n, before, after = len(rows), sum(row["before"] for row in rows), sum(row["after"] for row in rows)
    changes = [row["after"] - row["before"] for row in rows]
    return {
        "n": n,
        "before": round(before / n, 4) if n else None,
        "before_ci95": wilson(before, n),
        "after": round(after / n, 4) if n else None,
        "after_ci95": wilson(after, n),
        "difference": round(sum(changes) / n, 4) if n else None,
        "difference_ci95": rounded(mean_interval(changes)),  # of rows, each of which was answered twice
        **{
            name: round(sum(row[name] for row in rows) / n, 4) if n else None
            for name in ("mentioned_before", "mentioned_after")
        },
    }


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".。 ")
