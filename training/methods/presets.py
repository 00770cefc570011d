"""Settings for a whole round at once. Whatever is filled in beside a preset goes before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Settings = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Preset:
    label: str
    settings: Settings


PRESETS: dict[str, Preset] = {
    "quick": Preset(
        "Quick: does everything run? A fifth of the work, too little to learn much",
        {
            "sample": {"completions_per_prompt": 2, "prompts": 50},
            "reward": {"learning_curve": 0, "reference_samples": 32},
            "ppo": {"episodes": 128, "eval_completions": 1, "eval_every": 0},
            "rloo": {"episodes": 128, "eval_completions": 1},
            "dpo": {"epochs": 1, "eval_completions": 1},
            "sft": {"epochs": 1, "eval_completions": 1},
            "evaluate": {"prompts": 20},
            "self_instruct": {"proposals": 16},
            "instruction_tuning": {"per_task": 12, "test_per_task": 6, "epochs": 1, "shown": 16},
        },
    ),
    "standard": Preset("Standard: the defaults", {}),
    "thorough": Preset(
        "Thorough: three times the episodes, more heads and answers to judge by",
        {
            "reward": {"heads": 4, "learning_curve": 4, "reference_samples": 256},
            "ppo": {"episodes": 1920, "eval_completions": 8},
            "rloo": {"episodes": 1920, "eval_completions": 8},
            "dpo": {"epochs": 3, "eval_completions": 8},
            "sft": {"epochs": 4, "eval_completions": 8},
            "evaluate": {"prompts": 200},
            "self_instruct": {"proposals": 256},
            "instruction_tuning": {"per_task": 96, "test_per_task": 48, "epochs": 3, "shown": 64},
        },
    ),
}


def with_preset(preset: str, methods: list[str], filled: Settings) -> dict[str, dict[str, Any]]:
    """The settings of a round: those of the preset for its methods, and over them what was filled in."""
    base = PRESETS[preset].settings
    return {method: {**base.get(method, {}), **filled.get(method, {})} for method in methods}
