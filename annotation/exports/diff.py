"""What changed between two snapshots of the same type, by group: rows added, removed and changed."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field

from annotation.exports.context import SnapshotRow
from annotation.exports.files import stored_rows
from annotation.models import DatasetSnapshot

Digests = dict[str, dict[bytes, bytes]]  # group, what a row is about, what it says


@dataclass
class GroupDiff:
    """A group is a task; where rows have none, the prompt, and where they have none of that either, the whole file."""

    group: str
    added: int = 0
    removed: int = 0
    changed: int = 0


@dataclass
class Diff:
    """Whatever is in `later` and not in `earlier` was added."""

    earlier: DatasetSnapshot
    later: DatasetSnapshot
    groups: list[GroupDiff] = field(default_factory=list)

    @property
    def totals(self) -> dict[str, int]:
        return {name: sum(getattr(group, name) for group in self.groups) for name in ("added", "removed", "changed")}


def diff(earlier: DatasetSnapshot, later: DatasetSnapshot) -> Diff:
    """Return counts of rows added, removed and changed; a pair with another preference or other votes is changed."""
    if earlier.sha256 == later.sha256:
        return Diff(earlier, later)
    before, after = _digests(earlier), _digests(later)
    found = Diff(earlier, later)
    for group in sorted(before.keys() | after.keys(), key=lambda name: (len(name), name)):
        old, new = before.get(group, {}), after.get(group, {})
        each = GroupDiff(
            group,
            added=len(new.keys() - old.keys()),
            removed=len(old.keys() - new.keys()),
            changed=sum(old[key] != new[key] for key in old.keys() & new.keys()),
        )
        if each.added or each.removed or each.changed:
            found.groups.append(each)
    return found


GROUPED_BY = ("group_id", "task_id", "prompt_id", "proposal_id")


def _digests(snapshot: DatasetSnapshot) -> Digests:
    found: Digests = defaultdict(dict)
    for row in stored_rows(snapshot):
        group = next((f"{row[name]}" for name in GROUPED_BY if name in row), "")
        found[group][_hash(_about(row))] = _hash(row)
    return found


def _about(row: SnapshotRow) -> object:
    """Return what identifies a row, such as the two answers of a pair in either order."""
    if "chosen" in row:
        return sorted(json.dumps(row[name], sort_keys=True) for name in ("chosen", "rejected"))
    if "candidates" in row:
        return [row["candidates"], row.get("annotator", "")]
    return [row.get("prompt"), row.get("completion"), row.get("text")]


def _hash(value: object) -> bytes:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=12).digest()
