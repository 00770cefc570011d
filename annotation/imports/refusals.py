"""How an import says no: to a row, or to a whole file."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext_noop

KINDS: dict[type, str] = {
    bool: gettext_noop("true or false"),
    int: gettext_noop("a number"),
    float: gettext_noop("a number"),
    type(None): gettext_noop("null"),
    dict: gettext_noop("an object"),
    list: gettext_noop("a list"),
    str: gettext_noop("text"),
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
