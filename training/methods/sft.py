"""Supervised fine-tuning: the method `sft`."""

from __future__ import annotations

from dataclasses import dataclass

from training.methods.base import Method, Plan
from training.methods.bases import AnswersConfig
from training.methods.load import learns_rows
from training.phrases import phrase


@dataclass(frozen=True)
class SFTConfig(AnswersConfig):
    """Supervised fine-tuning on the answers that people wrote or liked best."""


METHOD = Method(
    "sft",
    phrase("SFT"),
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
            phrase("SFT"),
            order=70,
            does=phrase(
                "Fine-tunes the policy on reference responses and on responses ranked first, and generates new "
                "responses to rank."
            ),
            needs=phrase("Reference responses or rankings."),
        ),
        Plan(
            "sft,reward,ppo,sample",
            phrase("SFT, then a full round"),
            order=80,
            does=phrase(
                "Fine-tunes the policy on reference responses first; PPO starts from the version that SFT made."
            ),
            needs=phrase("Reference responses, and what a full round needs."),
        ),
    ),
)
