"""Where an AI judge may take over: slices on which it is not worse than people are by more than a stated margin."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext_noop

from annotation.quality.bias import FIRST_AVOIDED, FIRST_FAVOURED, NO_SIGN
from annotation.quality.calibration import ALL_PAIRS, Agreements, Calibration

MARGIN = 0.05  # of agreement that a judge may lack, beside people's own
FEWEST_PAIRS = 50  # that two people judged: an interval on fewer says too little of either
FEWEST_PROMPTS = 50  # of these pairs: intervals resample prompts, and pairs of one prompt are alike
BIASED = gettext_noop("position bias")
TOO_FEW_VERDICTS = gettext_noop("too few verdicts without a tie to tell of a position bias")
TOO_FEW_PAIRS = gettext_noop("too few pairs that two people judged")
TOO_FEW_PROMPTS = gettext_noop("too few prompts with pairs that two people judged")
TAKEN_BACK = gettext_noop("ended: worse than people in the audit share")
MAYBE_WORSE = gettext_noop("may be worse than people")
NOT_WORSE = gettext_noop("not worse than people")


@dataclass(frozen=True)
class Trust:
    """Whether a judge may take over a slice, and why or why not."""

    may: bool
    why: str


@dataclass(frozen=True)
class TrustedRow:
    """A row of a calibration with its trust; without a dimension it is that of all pairs."""

    dimension: str
    value: str
    figures: Agreements
    trust: Trust


def rows_of(found: Calibration, margin: float = MARGIN) -> list[TrustedRow]:
    """Return all rows of a calibration, that of all pairs first."""
    rows = []
    for dimension, value, figures in [(*ALL_PAIRS, found.overall), *found.slices]:
        trust = decided(figures, found.position_verdict, margin)
        if not found.taken_back.isdisjoint({ALL_PAIRS, (dimension, value)}):
            trust = Trust(False, TAKEN_BACK)
        rows.append(TrustedRow(dimension, value, figures, trust))
    return rows


def decided(row: Agreements, position_verdict: str, margin: float = MARGIN) -> Trust:
    """Return whether a judge may take over the pairs that these figures are of.

    Its agreement with people less people's with each other must be above -margin with its whole 95 % interval, on
    enough pairs of enough prompts; and all of its pairs must be enough to look for a position bias, and show none.
    """
    if position_verdict in (FIRST_FAVOURED, FIRST_AVOIDED):
        return Trust(False, BIASED)
    if row.difference.n < FEWEST_PAIRS:
        return Trust(False, TOO_FEW_PAIRS)
    if row.difference.low is None or row.people_prompts < FEWEST_PROMPTS:
        return Trust(False, TOO_FEW_PROMPTS)
    if position_verdict != NO_SIGN:
        return Trust(False, TOO_FEW_VERDICTS)
    return Trust(True, NOT_WORSE) if row.difference.low >= -margin else Trust(False, MAYBE_WORSE)
