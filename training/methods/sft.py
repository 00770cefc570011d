"""Supervised fine-tuning: the method `sft`."""

from __future__ import annotations

from dataclasses import dataclass

from training.methods.base import Method, Plan
from training.methods.bases import AnswersConfig
from training.methods.load import learns_rows


@dataclass(frozen=True)
class SFTConfig(AnswersConfig):
    """Supervised fine-tuning on the answers that people wrote or liked best."""


METHOD = Method(
    "sft",
    "SFT",
    SFTConfig,
    recipe="sft",
    data="prompt-completion",
    makes="policy",
    uses_trl=True,
    order=100,
    learns=learns_rows,
    shows_tokens=True,
    presets={
        "quick": {"epochs": 1, "eval_completions": 1},
        "thorough": {"epochs": 4, "eval_completions": 8},
    },
    plans=(
        Plan(
            "sft,sample",
            "SFT: imitate reference answers and answers ranked best; then new answers to rank",
            order=70,
        ),
        Plan(
            "sft,reward,ppo,sample",
            "SFT first, then the whole circle: PPO starts from the policy that SFT made",
            order=90,
        ),
    ),
)
