"""Group relative policy optimisation: the method `grpo`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from training.methods.base import Method, Plan, tokens_of_episodes
from training.methods.bases import GroupBaselineConfig
from training.methods.load import answers_of_episodes, draws_a_batch, learns_episodes
from training.methods.settings import GATES, setting
from training.phrases import phrase


@dataclass(frozen=True)
class GRPOConfig(GroupBaselineConfig):
    """Group relative policy optimisation: as RLOO, with a ratio for each token and the KL penalty in the loss."""

    kl_coef: float = setting(
        0.03, "Weight of the per-token KL to the reference policy in the loss", least=0.0001, most=10
    )
    clip_range: float = setting(0.2, "ε of the clipped objective; each token has its own ratio", least=0, most=10)
    loss: str = setting(
        "grpo",
        "grpo: scores divided by their standard deviation among a prompt's responses, and a mean over each response's "
        "tokens; dr_grpo: neither, so that no response weighs more for being short, and no prompt for scores that "
        "hardly differ",
    )

    choices: ClassVar = {"gate": GATES, "loss": ("grpo", "dr_grpo")}


METHOD = Method(
    "grpo",
    phrase("GRPO"),
    GRPOConfig,
    recipe="grpo",
    data="prompt-only",
    makes="policy",
    uses_trl=True,
    order=55,
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
            "reward,grpo,sample",
            phrase("Full round with GRPO"),
            order=55,
            does=phrase(
                "As a full round, with GRPO instead of PPO: a response counts by how far it is above the others to its "
                "prompt, and there is no value model."
            ),
            needs=phrase("As a full round."),
        ),
    ),
)
