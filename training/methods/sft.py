"""Supervised fine-tuning: the method `sft`."""

from __future__ import annotations

from dataclasses import dataclass

from training.methods.base import Method, Plan
from training.methods.settings import MethodConfig, setting


@dataclass(frozen=True)
class SFTConfig(MethodConfig):
    """Supervised fine-tuning on the answers that people wrote or liked best."""

    epochs: int = setting(3, "Passes over the answers", least=1, most=100)
    batch_size: int = setting(8, "Answers per optimiser step", least=1, most=65536)
    learning_rate: float = setting(5e-4, "Peak rate of AdamW; linear decay to 0", least=0, most=1)
    lora_rank: int = setting(16, "Rank of the adapter", least=1, most=1024)
    top_blocks: int = setting(6, "Transformer blocks, from the top, that carry the adapter", least=1, most=1000)
    max_length: int = setting(
        512, "Tokens of prompt and answer; longer ones are refused and counted", least=8, most=1_000_000
    )
    max_new_tokens: int = setting(24, "Length at which answers to eval prompts are cut", least=1, most=4096)
    temperature: float = setting(0.9, "Temperature of those answers", least=0.01, most=5)
    eval_completions: int = setting(4, "Answers per eval prompt, before and after", least=1, most=64)
    save_every: int = setting(10, "Steps between resumable states", least=1)
    seed: int = setting(0, "Seed of the random generator", least=0)


METHOD = Method(
    "sft",
    "SFT",
    SFTConfig,
    recipe="sft",
    data="prompt-completion",
    makes="policy",
    order=100,
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
