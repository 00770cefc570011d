"""What changed between two texts, by lines or by other pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

KEPT_AROUND = 2  # unchanged lines that are shown before and after a change
# Pairs of pieces that are compared at most, between what both texts begin and end with. The work may grow with the
# third power of the pieces: 2,000 lines "a" and "b" in turn would take minutes, these a fraction of a second.
MOST_PAIRS = 160_000


@dataclass(frozen=True)
class DifferenceLine:
    """`kind` is "kept", "removed", "added", or "gap" for unchanged lines that are left out."""

    kind: str
    text: str = ""


def difference(before: str, after: str) -> list[DifferenceLine]:
    """Return the lines that were removed and added, each with a few unchanged lines around it; nothing without one."""
    old, new = before.splitlines(), after.splitlines()
    found: list[DifferenceLine] = []
    parts = list(changes(old, new))
    if all(kind == "kept" for kind, _ in parts):
        return []
    for index, (kind, lines) in enumerate(parts):
        first, last = kind != "kept" or index == 0, kind != "kept" or index == len(parts) - 1
        head = lines[:KEPT_AROUND] if not first else []
        tail = lines[-KEPT_AROUND:] if not last else []
        if kind != "kept" or len(lines) <= len(head) + len(tail):
            found += [DifferenceLine(kind, line) for line in lines]
        else:
            found += [DifferenceLine(kind, line) for line in head]
            found.append(DifferenceLine("gap"))
            found += [DifferenceLine(kind, line) for line in tail]
    return found


def changes(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield what was kept, removed and added, in order, none of it empty.

    Where more than MOST_PAIRS would have to be compared, all between the common beginning and the common end is removed
    and added.
    """
    shorter = min(len(old), len(new))
    begin = next((at for at in range(shorter) if old[at] != new[at]), shorter)
    end = next((at for at in range(shorter - begin) if old[-1 - at] != new[-1 - at]), shorter - begin)
    removed, added = old[begin : len(old) - end], new[begin : len(new) - end]
    yield from _not_empty("kept", old[:begin])
    if len(removed) * len(added) > MOST_PAIRS:
        yield "removed", removed
        yield "added", added
    else:
        for kind, a, b, c, d in SequenceMatcher(None, removed, added, autojunk=False).get_opcodes():
            if kind == "equal":
                yield "kept", removed[a:b]
            else:
                yield from _not_empty("removed", removed[a:b])
                yield from _not_empty("added", added[c:d])
    yield from _not_empty("kept", old[len(old) - end :])


def _not_empty(kind: str, pieces: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    if pieces:
        yield kind, pieces
