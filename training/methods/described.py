"""Settings of methods as JSON Schema, for the description of the API."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from training.methods import METHODS
from training.methods.settings import MethodConfig, is_number

TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def described_methods() -> dict[str, Any]:
    """Return the schema of `settings` of a round: an object by method of objects by setting."""
    properties = {
        name: {"type": "object", "properties": described(method.config), "additionalProperties": False}
        for name, method in METHODS.items()
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def described(config: type[MethodConfig]) -> dict[str, Any]:
    """Return the schema of each setting of a method: type, default, range or choices, and what it does."""
    found = {}
    for setting in fields(config):
        about: dict[str, Any] = {"type": TYPES[type(setting.default)], "default": setting.default}
        if is_number(setting.default):
            about |= {"minimum": setting.metadata["least"], "maximum": setting.metadata["most"]}
        if words := config.choices.get(setting.name):
            about["enum"] = list(words)
        found[setting.name] = about | {"description": str(setting.metadata["help"])}
    return found
