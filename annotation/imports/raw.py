"""A row as it stands in a file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RawRow:
    """Fields by name, and the line on which the row starts; `file` is its file where an archive holds several."""

    line: int
    fields: dict[str, object]
    file: str = ""
