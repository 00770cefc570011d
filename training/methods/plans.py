"""The settings of a round's stages, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.methods import METHODS, InvalidConfig


def configs_of(methods: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every setting of every method, in their order. Raises InvalidConfig with each field that makes no sense."""
    errors = {}
    configs = []
    for name in {*methods, *settings} - set(METHODS):
        errors[name] = f"is no method; there are {', '.join(METHODS)}"
    for name in set(settings) & set(METHODS) - set(methods):
        errors[name] = "has settings but is not among the methods of this round"
    for method in methods:
        if method not in METHODS:
            continue
        try:
            configs.append(METHODS[method].config(**settings.get(method, {})).as_json())
        except InvalidConfig as invalid:
            errors |= {f"{method}.{field}": message for field, message in invalid.errors.items()}
        except TypeError as unknown:
            errors[method] = str(unknown).removeprefix(f"{METHODS[method].config.__name__}.__init__() ")
    if errors:
        raise InvalidConfig(errors)
    return configs
