"""Supervised fine-tuning: the method `sft`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from training.methods import shared
from training.methods.base import Method, Plan
from training.methods.load import learns_rows
from training.methods.settings import GATES, MethodConfig, setting


@dataclass(frozen=True)
class SFTConfig(MethodConfig):
    """Supervised fine-tuning on the answers that people wrote or liked best."""

    epochs: int = setting(3, "Passes over the answers", least=1, most=100)
    batch_size: int = setting(8, "Answers per optimiser step", least=1, most=65536)
    learning_rate: float = setting(5e-4, "Peak rate of AdamW; linear decay to 0", least=0, most=1)
    lora_rank: int = shared.lora_rank()
    top_blocks: int = shared.top_blocks()
    max_length: int = shared.max_length()
    max_new_tokens: int = shared.eval_answer_length()
    temperature: float = shared.eval_temperature()
    eval_completions: int = shared.eval_completions()
    eval_every: int = shared.eval_every(10, "Steps")
    gate: str = shared.policy_gate()
    micro_batch: int = shared.micro_batch("Answers")
    checkpointing: bool = shared.checkpointing()
    save_every: int = shared.save_every_steps()
    seed: int = shared.seed()

    choices: ClassVar = {"gate": GATES}


METHOD = Method(
    "sft",
    "SFT",
    SFTConfig,
    recipe="sft",
    data="prompt-completion",
    makes="policy",
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
