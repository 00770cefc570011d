"""The ways of making a classifier that are worth comparing, by name: prompt tuning in its forms, and their contrast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from training.phrases import phrase


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
        phrase("Zero-shot"),
        phrase("the model as it is, asked with every template"),
        {"tuning": "zero_shot", "calibration": "none"},
    ),
    "zero_shot_calibrated": Approach(
        phrase("Zero-shot, calibrated"),
        phrase("its average prediction is subtracted first"),
        {"tuning": "zero_shot", "calibration": "prior"},
    ),
    "in_context": Approach(
        phrase("In context"), phrase("labelled texts precede the text to classify"), {"tuning": "in_context"}
    ),
    "cloze_lora": Approach(
        phrase("Cloze, LoRA"), phrase("an adapter is trained to fill the blank"), {"tuning": "cloze", "train": "lora"}
    ),
    "cloze_full": Approach(
        phrase("Cloze, all weights"),
        phrase("all weights are trained to fill the blank"),
        {"tuning": "cloze", "train": "full"},
    ),
    "soft_prompt": Approach(
        phrase("Soft prompt"), phrase("only vectors before the text are trained"), {"tuning": "soft_prompt"}
    ),
    "p_tuning": Approach(
        phrase("P-tuning"), phrase("such vectors, from a small trained network"), {"tuning": "p_tuning"}
    ),
    "prefix": Approach(
        phrase("Prefix"), phrase("vectors before the keys and values of every layer are trained"), {"tuning": "prefix"}
    ),
    "head_lora": Approach(
        phrase("New head, LoRA"),
        phrase("ordinary fine-tuning, without a template"),
        {"tuning": "head", "train": "lora"},
    ),
    "head_full": Approach(
        phrase("New head, all weights"),
        phrase("ordinary fine-tuning, without a template"),
        {"tuning": "head", "train": "full"},
    ),
}


def settings_of(names: Iterable[str], *, shots: int, seeds: int, **more: Any) -> list[dict[str, Any]]:
    """Return one setting per approach and seed; an approach that is deterministic gets one run for all seeds.

    Each approach gets those of the shared settings that have an effect on it.
    """
    shared = {**more, "shots": shots}
    return [
        {**{key: value for key, value in shared.items() if approach.takes(key)}, **approach.settings, "seed": seed}
        for approach in map(APPROACHES.__getitem__, dict.fromkeys(names))
        for seed in range(seeds if approach.learns else 1)
    ]


def approach_of(config: Mapping[str, Any]) -> str:
    """Return the approach that a run's settings belong to; empty where they belong to none."""
    for name, approach in APPROACHES.items():
        if all(config.get(key) == value for key, value in approach.settings.items()):
            return name
    return ""
