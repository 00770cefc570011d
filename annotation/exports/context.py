"""What all snapshot types read and write: the project, the filter, the counts, and the judged tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from django.utils.translation import gettext, gettext_noop

from annotation.errors import NotPossible
from annotation.exports.card import CardTally
from annotation.judged.counted import Filter, JudgedTask
from annotation.judged.decisions import Decisions
from annotation.judged.preferences import Even, Pair, merge
from annotation.judged.rows import judged_tasks
from annotation.models import Project

SnapshotRow = dict[str, Any]
ReasonCounts = Counter[str]
MISSING = -1  # stands for a number that was not stated, in a column of numbers
AND_THE_FILTER = gettext_noop(" Or the filter excludes everything.")


@dataclass
class SnapshotContext:
    """Holds what one file is made from, and counts what was taken and left out, by reason."""

    project: Project
    cutoff: datetime
    wanted: Filter = field(default_factory=Filter)
    counts: ReasonCounts = field(default_factory=Counter)
    tally: CardTally | None = None  # for the data card; a plain export has none

    @cached_property
    def decisions(self) -> Decisions:
        return Decisions(self.project, self.cutoff)

    def tasks(self, *, as_made: bool = False) -> Iterator[tuple[JudgedTask, list[Pair], list[Even]]]:
        """Yield judged tasks with their merged pairs, those with a majority and those without, and count them."""
        source = judged_tasks(
            self.project,
            self.cutoff,
            self.wanted,
            self.counts,
            self.decisions,
            circumstances=as_made or self.tally is not None,
            as_made=as_made,
        )
        for task in source:
            pairs, evens = merge([judgment.vote for judgment in task.judgments])
            if self.tally:
                self.tally.see(task, pairs, evens)
            yield task, pairs, evens

    def agreed(self, task: JudgedTask, pairs: list[Pair], evens: list[Even]) -> list[Pair]:
        """Return the pairs with at least the wanted share of the votes, and count the others."""
        kept = [pair for pair in pairs if pair.share >= self.wanted.min_agreement]
        self.counts["ties"] += len(evens)
        self.counts["pairs below the minimum agreement"] += len(pairs) - len(kept)
        self.counts[f"{task.split} pairs"] += len(kept)
        return kept

    def agreed_alone(self, task: JudgedTask) -> bool:
        """Return whether a response that is judged by itself has the wanted share of the votes for good, or for bad."""
        if len(task.answers) > 1:
            return False
        (pk,) = task.answers
        said = [(judgment.finds_good(pk), judgment.weight) for judgment in task.judgments]
        good, bad = (sum(weight for found, weight in said if found is each) for each in (True, False))
        return good + bad > 0 and max(good, bad) / (good + bad) >= self.wanted.min_agreement

    def require_some(self, found: object, why: str) -> None:
        """Raise NotPossible with `why` where nothing was found."""
        if not found:
            raise NotPossible(gettext(why) + (gettext(AND_THE_FILTER) if self.wanted.as_json() else ""))


def date_text(at: datetime | None) -> str:
    """Return a date as it is written into files, always with microseconds; empty without one.

    Arrow takes a column whose dates all have whole seconds in the first 10 MB for one of dates, and refuses others.
    """
    return at.isoformat(timespec="microseconds") if at else ""


def conversation_text(messages: list[dict[str, str]]) -> str:
    """Return a conversation as one text, for formats without messages."""
    return "\n\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in messages)
