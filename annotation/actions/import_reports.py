"""What an import takes, leaves and refuses, and which fields of the file nobody read."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from annotation.imports import ParsedPrompts, RefusedRow, shape_label

NUMBERS = ("rows", "taken", "answers", "pairs", "votes", "labels", "tasks", "held_back")
UNLISTED = ("more_duplicates", "more_refused")
LISTS = ("duplicates", "refused")
COUNTERS = ("not_used", "stopping", "shapes")
LISTED = 5000  # rows of each list; the others are counted


@dataclass
class ImportReport:
    """Counts of what an import did with every row: `taken` rows, `pairs` as preferences, `votes` as judgments.

    `not_used` counts rows by field; `stopping` are those fields for which rows were refused. `held_back` counts answers
    that name their maker and are in no task. Of rows that are not taken the first are listed, and how many
    `more` there are. `whole` is false where only the first rows of a file were read.
    """

    rows: int = 0
    taken: int = 0
    answers: int = 0
    pairs: int = 0
    votes: int = 0
    labels: int = 0
    tasks: int = 0
    held_back: int = 0
    duplicates: list[RefusedRow] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)
    not_used: Counter[str] = field(default_factory=Counter)
    stopping: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    more_duplicates: int = 0
    more_refused: int = 0
    whole: bool = True

    @classmethod
    def of(cls, parsed: ParsedPrompts) -> ImportReport:
        """Return the report of a file from which nothing has been taken yet."""
        return cls(
            rows=parsed.count["rows"] or len(parsed.rows) + len(parsed.labels) + len(parsed.refused),
            refused=list(parsed.refused),
            not_used=Counter(parsed.not_used),
            stopping=Counter(parsed.stopping),
            shapes=Counter(parsed.shapes),
            whole=parsed.is_whole,
        )

    @property
    def duplicate_count(self) -> int:
        """Return how many rows say what is there already."""
        return len(self.duplicates) + self.more_duplicates

    @property
    def refused_count(self) -> int:
        """Return how many rows are refused."""
        return len(self.refused) + self.more_refused

    def __str__(self) -> str:
        brought = {
            "answers": self.answers,
            "preferences": self.pairs,
            "votes": self.votes if self.votes != self.pairs else 0,
            "labels": self.labels if self.labels != self.taken else 0,
            "tasks opened": self.tasks,
            "responses held back because they name their model or vendor": self.held_back,
        }
        more = "".join(f", {count} {name}" for name, count in brought.items() if count)
        unused = "".join(f", {name} ({count} rows)" for name, count in self.not_used.most_common())
        said = f"{self.taken} taken, {self.duplicate_count} duplicate, {self.refused_count} refused{more}"
        return said + (f"; not used: {unused[2:]}" if unused else "")

    @property
    def shape(self) -> str:
        """Return the labels of the rows' shapes, most common first."""
        return ", ".join(shape_label(name) for name, _ in self.shapes.most_common())

    @property
    def holds_texts(self) -> bool:
        """Return whether everything that is taken is a text with a label, and no prompt."""
        return self.labels == self.taken > 0 and not self.answers

    @property
    def unused(self) -> list[tuple[str, int, bool]]:
        """Return every field that was not read, in how many rows, and whether it stops them."""
        return [(name, count, name in self.stopping) for name, count in self.not_used.most_common()]

    def add(self, other: ImportReport) -> None:
        """Add what became of further rows; lists end at LISTED."""
        whole = self.whole and other.whole
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
        self.whole = whole
        for name in LISTS:
            listed = getattr(self, name)
            setattr(self, f"more_{name}", getattr(self, f"more_{name}") + max(0, len(listed) - LISTED))
            del listed[LISTED:]

    def as_json(self) -> dict[str, Any]:
        """Return it as it is stored with an upload."""
        numbers = {name: getattr(self, name) for name in (*NUMBERS, *UNLISTED)}
        lists = {name: [[row.line, row.reason] for row in getattr(self, name)] for name in LISTS}
        return numbers | lists | {name: dict(getattr(self, name)) for name in COUNTERS}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> ImportReport:
        """Return a stored report; one from before a number was counted has 0 there."""
        known: dict[str, Any] = {name: given.get(name, 0) for name in (*NUMBERS, *UNLISTED)}
        known |= {name: [RefusedRow(*row) for row in given.get(name, [])] for name in LISTS}
        known |= {name: Counter(given.get(name, {})) for name in COUNTERS}
        return cls(**known)

    def for_machines(self) -> dict[str, Any]:
        """Return what the command prints with --json: counts, and every row that is not taken with its reason."""
        numbers = {name: getattr(self, name) for name in NUMBERS}
        rows = {name: [{"line": row.line, "reason": row.reason} for row in getattr(self, name)] for name in LISTS}
        return {
            "shape": self.shape,
            "shapes": dict(self.shapes),
            **numbers,
            "duplicate": self.duplicate_count,
            "refused": self.refused_count,
            "not_used": dict(self.not_used),
            "stopping": dict(self.stopping),
            "refused_rows": rows["refused"],
            "duplicate_rows": rows["duplicates"],
        }

    def as_csv(self) -> str:
        """Return the rows that are not taken with the reasons as CSV, to correct the file by."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["line", "what", "reason"])
        writer.writerows(self.not_taken())
        for name, more in (("refused", self.more_refused), ("duplicate", self.more_duplicates)):
            if more:
                writer.writerow(["", name, f"and {more} more rows, which are not listed"])
        return text.getvalue()

    def not_taken(self) -> list[tuple[int, str, str]]:
        """Return line, "refused" or "duplicate", and reason of each listed row, by line."""
        rows = [(row.line, "refused", row.reason) for row in self.refused]
        rows += [(row.line, "duplicate", row.reason) for row in self.duplicates]
        return sorted(rows)
