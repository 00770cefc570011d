"""Evaluation by people: the method `evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from training.methods import shared
from training.methods.base import Method
from training.methods.load import Available
from training.methods.settings import MethodConfig, setting
from training.phrases import phrase


@dataclass(frozen=True)
class EvaluateConfig(MethodConfig):
    """Two versions answer the prompts kept for evaluation; people compare the answers blind."""

    against: str = setting(
        "before", "before: the version the round started from; base: version 0; references: reference responses"
    )
    prompts: int = setting(50, "Held-out prompts, drawn at random; 0: all", least=0, most=shared.MOST_PROMPTS)
    seats: int = setting(1, "Annotators per comparison", least=1, most=20)
    max_new_tokens: int = setting(
        24, "Length at which responses are truncated, on both sides", least=1, most=4096, inherits=shared.ANSWER_TOKENS
    )
    temperature: float = setting(
        0.9, "Sampling temperature of both sides", least=0.01, most=5, inherits=shared.TEMPERATURE
    )
    batch_size: int = setting(64, "Responses generated together", least=1, most=4096)
    max_prompt_tokens: int = shared.max_prompt_tokens()
    seed: int = setting(
        0, "Seed of the random generator, of the choice of prompts and of the order", least=0, most=shared.MOST_SEED
    )

    choices: ClassVar = {"against": ("before", "base", "references")}


def answers(config: Mapping[str, Any], found: Available) -> int:
    """Return the answers drawn by both sides."""
    return 2 * (min(config["prompts"], found.held_out) if config["prompts"] else found.held_out)


def work(config: Mapping[str, Any], rows: int) -> float:
    """Return the tokens drawn by both sides."""
    return float(answers(config, Available(held_out=rows)) * config["max_new_tokens"])


METHOD = Method(
    "evaluate",
    phrase("Evaluation by people"),
    EvaluateConfig,
    recipe="evaluate",
    data="prompt-only",
    makes="comparisons",
    order=90,
    work=work,
    answers=answers,
    presets={"quick": {"prompts": 20}, "thorough": {"prompts": 200}},
)
