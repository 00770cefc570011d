"""What a recipe tells the person who started the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from training.phrases import phrase
from training.rundir import Row

MOST_REASONS = 3


class RecipeError(Exception):
    """Something the person who started the run can put right. Shown as one line, without a traceback.

    Its text is kept in English; `make messages` gathers it, and pages show it in the language of the reader.
    """


def nothing_usable(problem: str, rows: int, refused: Mapping[str, int] | Iterable[Row]) -> RecipeError:
    """Return what to tell where no row is left to work with: of how many, and why they were left out, most first.

    `refused` counts the reasons, or has a row with the reason of each.
    """
    count = f"{rows:,}"
    counts = Counter(refused if isinstance(refused, Mapping) else [row["reason"] for row in refused])
    if not counts:
        return RecipeError(phrase("%(problem)s. Rows: %(count)s", problem=problem, count=count))
    reasons = "; ".join(f"{reason} ({times:,})" for reason, times in counts.most_common(MOST_REASONS))
    values = {"problem": problem, "count": count, "reasons": reasons}
    return RecipeError(phrase("%(problem)s. Rows: %(count)s; left out: %(reasons)s", **values))
