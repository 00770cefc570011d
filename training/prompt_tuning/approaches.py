"""The ways of making a classifier that are worth comparing, by name: prompt tuning in its forms, and their contrast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Approach:
    label: str
    about: str
    settings: Mapping[str, Any]

    @property
    def learns(self) -> bool:
        return bool(self.settings["tuning"] != "zero_shot")

    def takes(self, name: str) -> bool:
        """Return whether a setting that approaches share has an effect on this one."""
        return name not in WITHOUT_EFFECT.get(self.settings["tuning"], ())


# What the approaches of one start share, and these do not use: nothing learns, or no labelled rows are shown.
WITHOUT_EFFECT = {
    "zero_shot": ("shots", "epochs", "batch_size", "learning_rate"),
    "in_context": ("epochs", "batch_size", "learning_rate"),
}


APPROACHES: dict[str, Approach] = {
    "zero_shot": Approach(
        "Zero-shot", "the model as it is, asked with every template", {"tuning": "zero_shot", "calibration": "none"}
    ),
    "zero_shot_calibrated": Approach(
        "Zero-shot, calibrated",
        "what it answers on average is taken off first",
        {"tuning": "zero_shot", "calibration": "prior"},
    ),
    "in_context": Approach(
        "In context", "labelled texts stand before the one that is asked about", {"tuning": "in_context"}
    ),
    "cloze_lora": Approach("Cloze, LoRA", "an adapter learns to fill the blank", {"tuning": "cloze", "train": "lora"}),
    "cloze_full": Approach("Cloze, all weights", "the whole model learns it", {"tuning": "cloze", "train": "full"}),
    "soft_prompt": Approach("Soft prompt", "only vectors before the text learn", {"tuning": "soft_prompt"}),
    "p_tuning": Approach("P-tuning", "such vectors, made by a small network that learns", {"tuning": "p_tuning"}),
    "prefix": Approach("Prefix", "vectors before the keys and values of every layer learn", {"tuning": "prefix"}),
    "head_lora": Approach(
        "New head, LoRA", "ordinary fine-tuning, without a template", {"tuning": "head", "train": "lora"}
    ),
    "head_full": Approach(
        "New head, all weights", "ordinary fine-tuning, without a template", {"tuning": "head", "train": "full"}
    ),
}


def settings_of(names: Iterable[str], *, shots: int, seeds: int, **more: Any) -> list[dict[str, Any]]:
    """Return one setting per approach and seed; an approach that is deterministic gets one run for all seeds.

    Each approach gets those of the shared settings that have an effect on it.
    """
    shared = {**more, "shots": shots}
    return [
        {**{key: value for key, value in shared.items() if approach.takes(key)}, **approach.settings, "seed": seed}
        for approach in map(APPROACHES.__getitem__, names)
        for seed in range(seeds if approach.learns else 1)
    ]


def approach_of(config: Mapping[str, Any]) -> str:
    """Return the approach that a run's settings belong to; empty where they belong to none."""
    for name, approach in APPROACHES.items():
        if all(config.get(key) == value for key, value in approach.settings.items()):
            return name
    return ""
