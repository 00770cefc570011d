"""What changed between two texts, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

KEPT_AROUND = 2  # unchanged lines that are shown before and after a change


@dataclass(frozen=True)
class DifferenceLine:
    """`kind` is "kept", "removed", "added", or "gap" for unchanged lines that are left out."""

    kind: str
    text: str = ""


def difference(before: str, after: str) -> list[DifferenceLine]:
    """Return the lines that were removed and added, each with a few unchanged lines around it; nothing without one."""
    old, new = before.splitlines(), after.splitlines()
    if old == new:
        return []
    found: list[DifferenceLine] = []
    groups = list(SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(KEPT_AROUND))
    for index, group in enumerate(groups):
        if index or group[0][1]:
            found.append(DifferenceLine("gap"))
        for kind, start, end, new_start, new_end in group:
            if kind == "equal":
                found += [DifferenceLine("kept", line) for line in old[start:end]]
            else:
                found += [DifferenceLine("removed", line) for line in old[start:end]]
                found += [DifferenceLine("added", line) for line in new[new_start:new_end]]
    if groups[-1][-1][2] < len(old):
        found.append(DifferenceLine("gap"))
    return found
