"""Plans of rounds: which methods run one after the other, with which settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.methods import METHODS, InvalidConfig
from training.methods.servers import check_listed

FULL_ROUND = ("reward", "ppo", "sample")
FIRST_ROUND = ("sample",)


def plans() -> dict[str, str]:
    """Return the plans of all methods, `method,method` to label, in their order."""
    found = [plan for method in METHODS.values() for plan in method.plans]
    return {plan.methods: plan.label for plan in sorted(found, key=lambda plan: plan.order)}


def configs_of(methods: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return every setting of every method, in their order. Raises InvalidConfig with each field that is not valid."""
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
            config = METHODS[method].config(**settings.get(method, {}))
            check_listed(config)
            configs.append(config.as_json())
        except InvalidConfig as invalid:
            errors |= {f"{method}.{field}": message for field, message in invalid.errors.items()}
        except TypeError as unknown:
            errors[method] = str(unknown).removeprefix(f"{METHODS[method].config.__name__}.__init__() ")
    if errors:
        raise InvalidConfig(errors)
    return configs
