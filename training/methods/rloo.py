"""REINFORCE leave-one-out: the method `rloo`."""

from __future__ import annotations

from dataclasses import dataclass

from training.methods.base import Method, Plan, tokens_of_episodes
from training.methods.bases import GroupBaselineConfig
from training.methods.load import answers_of_episodes, draws_a_batch, learns_episodes
from training.methods.settings import setting
from training.phrases import phrase


@dataclass(frozen=True)
class RLOOConfig(GroupBaselineConfig):
    """REINFORCE with the mean score of a prompt's other answers as baseline: PPO without a value model."""

    clip_range: float = setting(
        0.2, "ε of the clipped objective; the ratio is that of whole responses", least=0, most=10
    )


METHOD = Method(
    "rloo",
    phrase("RLOO"),
    RLOOConfig,
    recipe="rloo",
    data="prompt-only",
    makes="policy",
    uses_trl=True,
    order=50,
    work=tokens_of_episodes,
    answers=answers_of_episodes,
    draws=draws_a_batch,
    learns=learns_episodes,
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
