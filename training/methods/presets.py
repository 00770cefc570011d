"""Settings for a whole round at once. Whatever is filled in beside a preset goes before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.methods import METHODS
from training.phrases import phrase

Settings = Mapping[str, Mapping[str, Any]]


STANDARD = "standard"
PRESETS = {  # the settings of each stand with the methods
    "quick": phrase("Quick: a smoke test with a fifth of the work, too little to learn much"),
    STANDARD: phrase("Standard: the defaults"),
    "thorough": phrase("Thorough: three times the episodes, more heads and evaluation responses"),
}


def preset_settings(preset: str) -> dict[str, Mapping[str, Any]]:
    """Return what a preset changes, by method."""
    return {name: method.presets[preset] for name, method in METHODS.items() if preset in method.presets}


def with_preset(preset: str, methods: Sequence[str], filled: Settings) -> dict[str, dict[str, Any]]:
    """Return the settings of a round: those of the preset for its methods, and over them what was filled in."""
    base = preset_settings(preset)
    return {method: {**base.get(method, {}), **filled.get(method, {})} for method in methods}
