"""REINFORCE leave-one-out: the method `rloo`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.methods import shared
from training.methods.base import Method, Plan
from training.methods.bases import PolicyGradientConfig, should_divide
from training.methods.load import Load, answers_of_episodes, at_once, draws_a_batch
from training.methods.settings import setting
from training.phrases import phrase


@dataclass(frozen=True)
class RLOOConfig(PolicyGradientConfig):
    """REINFORCE with the mean score of a prompt's other answers as baseline: PPO without a value model."""

    completions_per_prompt: int = setting(4, "Episodes that share a prompt", least=2, most=256)
    clip_range: float = setting(
        0.2, "ε of the clipped objective; the ratio is that of whole responses", least=0, most=10
    )
    passes: int = setting(1, "Passes over the episodes of one update", least=1, most=100)

    def size_errors(self) -> dict[str, str]:
        """Return what is wrong with the numbers of episodes, by setting."""
        errors = super().size_errors()
        if self.batch_size % self.completions_per_prompt:
            errors["completions_per_prompt"] = should_divide("batch_size", self.batch_size, self.completions_per_prompt)
        errors |= shared.share_errors(self.processes, {phrase("episodes of an optimiser step"): self.minibatch_size})
        return errors

    @property
    def passes_over_update(self) -> int:
        """Return how often the episodes of an update are learned from."""
        return self.passes


def work(config: Mapping[str, Any], rows: int) -> float:
    """Return the tokens drawn, and those learned from in each pass."""
    return float(config["episodes"] * config["max_new_tokens"] * (1 + config["passes"]))


def learns(config: Mapping[str, Any], prompt: int, answer: int) -> Load:
    """Return the episodes that are learned from at once, each after its own prompt."""
    return Load(at_once(config, "minibatch_size"), prompt, 1, int(config["max_new_tokens"]))


METHOD = Method(
    "rloo",
    phrase("RLOO"),
    RLOOConfig,
    recipe="rloo",
    data="prompt-only",
    makes="policy",
    uses_trl=True,
    order=50,
    work=work,
    answers=answers_of_episodes,
    draws=draws_a_batch,
    learns=learns,
    presets={
        "quick": {"episodes": 128, "eval_completions": 1},
        "thorough": {"episodes": 1920, "eval_completions": 8},
    },
    plans=(
        Plan(
            "reward,rloo,sample",
            phrase("Full round with RLOO"),
            order=50,
            does=phrase(
                "As a full round, with RLOO instead of PPO: the other responses to a prompt are the baseline, and "
                "there is no value model."
            ),
            needs=phrase("As a full round."),
        ),
    ),
)
