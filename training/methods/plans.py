"""Plans of rounds: which methods run one after the other, with which settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.methods import METHODS, InvalidConfig
from training.methods.base import Plan
from training.methods.servers import check_listed
from training.methods.settings import MethodConfig, check_effective
from training.phrases import Phrase, phrase

FULL_ROUND = ("reward", "ppo", "sample")
FIRST_ROUND = ("sample",)
UNARY_ROUND = ("kto", "sample")  # where people only say whether responses are good or bad


def all_plans() -> list[Plan]:
    """Return the plans of all methods in their order."""
    return sorted((plan for method in METHODS.values() for plan in method.plans), key=lambda plan: plan.order)


def plans() -> dict[str, str]:
    """Return the plans of all methods, `method,method` to label, in their order."""
    return {plan.methods: plan.label for plan in all_plans()}


def configs_of(methods: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return every setting of every method, in their order.

    Raises InvalidConfig with each field that is not valid, or that would do nothing beside the others.
    """
    errors: dict[str, str] = {}
    configs: list[MethodConfig] = []
    for name in {*methods, *settings} - set(METHODS):
        errors[name] = phrase("is no method; there are %(names)s", names=", ".join(METHODS))
    for name in set(settings) & set(METHODS) - set(methods):
        errors[name] = phrase("has settings but is not among the methods of this round")
    for method in methods:
        if method not in METHODS:
            continue
        try:
            config = METHODS[method].config(**settings.get(method, {}))
            check_listed(config)
            check_effective(config)
            configs.append(config)
        except InvalidConfig as invalid:
            errors |= {f"{method}.{field}": message for field, message in invalid.errors.items()}
        except TypeError as unknown:
            errors[method] = str(unknown).removeprefix(f"{METHODS[method].config.__name__}.__init__() ")
    if errors := errors or too_few_heads(methods, configs):
        raise InvalidConfig(errors)
    return [config.as_json() for config in configs]


def too_few_heads(methods: Sequence[str], configs: Sequence[MethodConfig]) -> dict[str, str]:
    """Return the settings that need more heads than the reward model that is trained before them gets."""
    errors: dict[str, str] = {}
    heads: int | None = None
    for method, config in zip(methods, configs, strict=True):
        for name, least in config.needed_heads().items():
            if heads is not None and heads < least:
                errors[f"{method}.{name}"] = heads_wanted(least, phrase("reward.heads is %(heads)s", heads=heads))
        heads = getattr(config, "heads", heads)
    return errors


def heads_wanted(least: int, found: Phrase) -> Phrase:
    """Return why a setting does nothing with a reward model of fewer heads than `least`, and what to do."""
    return phrase(
        "does nothing with a reward model of fewer than %(least)s heads, and %(found)s: those that score would never "
        "disagree. Train a reward model with %(least)s heads or more, or leave it out",
        least=least,
        found=found,
    )
