"""Which shapes may know a row, by the names of its fields: most shapes look at nothing else.

They are asked once for the names of a file and not once for each of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from annotation.imports.fields import Fields
from annotation.imports.shapes.shape import Shape

KEPT = 512  # combinations of names
LONGEST = 4000  # characters of the names together: longer ones are not kept


class AskedShapes:
    """The shapes in their order, of which those are asked again that look at values."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self.shapes = shapes
        self._kept = lru_cache(KEPT)(self._possible)

    def possible(self, fields: Fields) -> list[str]:
        """Return the names of the shapes that may know a row; each other one knows no row with these names."""
        names = tuple((name, name in fields) for name in fields)
        kept = sum(len(name) for name, _ in names) <= LONGEST
        return self._kept(names) if kept else list(self.shapes)

    def _possible(self, names: tuple[tuple[str, bool], ...]) -> list[str]:
        return [name for name, shape in self.shapes.items() if _may_know(shape.knows, names)]


def _may_know(knows: Callable[[Fields], bool], names: tuple[tuple[str, bool], ...]) -> bool:
    """Return False where a shape says no without a look at any value."""
    try:
        return bool(knows(_OnlyNames(names)))
    except _Looked:
        return True


class _Looked(BaseException):
    """Raised where a value is looked at: no shape may take it for a problem of the row."""


class _OnlyNames(Fields):
    """The names of fields, and which of them have a value: to look at one raises _Looked."""

    def __init__(self, names: tuple[tuple[str, bool], ...]) -> None:
        super().__init__(_UnseenValues({name: True if there else None for name, there in names}))

    def __contains__(self, name: str) -> bool:
        return bool(dict.get(self.data, name))


class _UnseenValues(dict[str, Any]):
    def get(self, name: str, default: Any = None) -> Any:
        """Return None for a field that is not there or has no value."""
        if dict.get(self, name) is not None:
            raise _Looked
        return default

    def __getitem__(self, name: str) -> Any:
        if dict.__getitem__(self, name) is not None:
            raise _Looked
        return None

    def values(self) -> Any:
        """Raise _Looked."""
        raise _Looked

    def items(self) -> Any:
        """Raise _Looked."""
        raise _Looked
