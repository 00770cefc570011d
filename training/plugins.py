"""How methods, products and tools are found: a module each in their package, and entry points of installed packages."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol, TypeVar


class Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def order(self) -> int:
        """Return the place in lists; of equals the name decides."""


Plugin = TypeVar("Plugin", bound=Named)


class Registry(Mapping[str, Plugin]):
    """Plug-ins by name, in their order: the `attribute` of each module of a package that has one, and entry points.

    A module whose name begins with _ is not imported.
    They are looked for when they are first asked for, so that a plug-in's module may be imported before all others.
    """

    def __init__(self, package: str, attribute: str, kind: type[Plugin], group: str) -> None:
        self.package, self.attribute, self.kind, self.group = package, attribute, kind, group
        self._found: dict[str, Plugin] | None = None

    def discover(self) -> None:
        """Look for plug-ins again. Raises TypeError for an entry point that names something else."""
        found = sorted(self._plugins(), key=lambda plugin: (plugin.order, plugin.name))
        self._found = {plugin.name: plugin for plugin in found}

    def _plugins(self) -> Iterator[Plugin]:
        for module in pkgutil.iter_modules(import_module(self.package).__path__, f"{self.package}."):
            if module.name.rpartition(".")[2].startswith("_"):
                continue
            if hasattr(import_module(module.name), self.attribute):
                yield self._checked(getattr(import_module(module.name), self.attribute), module.name)
        for point in entry_points(group=self.group):
            yield self._checked(point.load(), f"the entry point {point.name} = {point.value}")

    def _checked(self, found: object, where: str) -> Plugin:
        if not isinstance(found, self.kind):
            raise TypeError(f"{where} should be a {self.kind.__name__}, not {found!r}")
        return found

    @property
    def _all(self) -> dict[str, Plugin]:
        if self._found is None:
            self.discover()
        return self._found or {}

    def __getitem__(self, name: str) -> Plugin:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)
