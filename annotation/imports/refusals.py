"""How an import says no: to a row, or to a whole file."""

from __future__ import annotations

from dataclasses import dataclass

KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
    dict: "an object",
    list: "a list",
    str: "text",
}


@dataclass(frozen=True)
class RefusedRow:
    """A row that was refused; `reason` names the field and tells what to do."""

    line: int
    reason: str


class UnreadableFile(ValueError):
    """The file as a whole cannot be read; the message tells its owner what to do."""


class EmptyFile(UnreadableFile):
    """Raised for a file without any text."""


class UnknownColumns(UnreadableFile):
    """Raised for a readable file whose columns must be mapped by the user."""


class Refusal(ValueError):
    """Why one row is refused, before its line is known."""
