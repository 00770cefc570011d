"""Direct preference optimisation: the method `dpo`."""

from __future__ import annotations

from dataclasses import dataclass

from training.methods.base import Method, Plan
from training.methods.settings import MethodConfig, setting


@dataclass(frozen=True)
class DPOConfig(MethodConfig):
    """Direct preference optimisation: learns from pairs of answers, without a reward model and without sampling."""

    epochs: int = setting(2, "Passes over the pairs", least=1, most=100)
    batch_size: int = setting(16, "Pairs per optimiser step", least=1, most=65536)
    learning_rate: float = setting(2e-4, "Peak rate of AdamW; linear decay to 0", least=0, most=1)
    beta: float = setting(0.1, "β: how strongly the policy is held to the reference", least=0.0001, most=100)
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
    "dpo",
    "DPO",
    DPOConfig,
    recipe="dpo",
    data="preference",
    makes="policy",
    order=40,
    presets={
        "quick": {"epochs": 1, "eval_completions": 1},
        "thorough": {"epochs": 3, "eval_completions": 8},
    },
    plans=(
        Plan(
            "dpo,sample",
            "DPO: straight from the rankings, without a reward model; then new answers to rank",
            order=60,
        ),
    ),
)
