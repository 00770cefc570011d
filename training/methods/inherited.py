"""Settings that stages of a round have from their project, where their own are not set: length and temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from training.methods import METHODS
from training.methods.presets import Settings


def inherited(method: str, project: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a method has from its project's settings, given by name; those that are not given are left out."""
    found = ((setting.name, setting.metadata.get("inherits")) for setting in fields(METHODS[method].config))
    return {name: project[source] for name, source in found if source and source in project}


def with_inherited(methods: Sequence[str], settings: Settings, project: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings of a round's methods, with those of the project where none are given."""
    known = [method for method in dict.fromkeys([*methods, *settings]) if method in METHODS and method in methods]
    whole = {method: {**inherited(method, project), **settings.get(method, {})} for method in known}
    return {**{method: dict(given) for method, given in settings.items()}, **whole}
