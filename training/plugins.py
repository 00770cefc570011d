"""How methods and products are found: a module each in their package, and entry points of installed packages."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import TypeVar

Plugin = TypeVar("Plugin")


def plugins(package: ModuleType, attribute: str, kind: type[Plugin], group: str) -> Iterator[Plugin]:
    """Yield the `attribute` of each module of the package that has one, then what the entry points of `group` name.

    Raises TypeError where that is not of `kind`.
    """
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        found = getattr(import_module(module.name), attribute, None)
        if found is not None:
            yield _checked(found, kind, f"{module.name}.{attribute}")
    for point in entry_points(group=group):
        yield _checked(point.load(), kind, f"the entry point {point.name} = {point.value}")


def _checked(found: object, kind: type[Plugin], where: str) -> Plugin:
    if not isinstance(found, kind):
        raise TypeError(f"{where} should be a {kind.__name__}, not {found!r}")
    return found
