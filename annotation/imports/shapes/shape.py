"""What a shape is: how rows of a tool are known, and how one becomes items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.items import Item


@dataclass(frozen=True)
class Shape:
    """`knows` looks at a row without using its fields, `items` reads it.

    `columns` are sets of column names, in small letters, by which a table is known. `gather` makes rows that hold
    whole conversations out of a file whose rows hold one message each; `key` names the conversation of such a row.
    """

    label: str
    knows: Callable[[Fields], bool]
    items: Callable[[Fields], Iterator[Item]]
    columns: tuple[frozenset[str], ...] = ()
    gather: Callable[[list[dict[str, Any]]], Iterator[dict[str, Any]]] | None = None
    key: Callable[[dict[str, Any]], str] | None = None


def columns(*names: str) -> frozenset[str]:
    """Return a set of column names that together show a shape."""
    return frozenset(names)
