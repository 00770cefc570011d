"""REINFORCE leave-one-out: the method `rloo`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.methods.base import Method, Plan
from training.methods.settings import InvalidConfig, MethodConfig, setting


@dataclass(frozen=True)
class RLOOConfig(MethodConfig):
    """REINFORCE with the mean score of a prompt's other answers as baseline: PPO without a value model."""

    episodes: int = setting(640, "Completions sampled and learned from in all", least=1)
    batch_size: int = setting(32, "Episodes per update", least=2, most=65536)
    minibatch_size: int = setting(16, "Episodes per optimiser step", least=1, most=65536)
    passes: int = setting(1, "Passes over the episodes of one update", least=1, most=100)
    completions_per_prompt: int = setting(4, "Episodes that share a prompt", least=2, most=256)
    max_new_tokens: int = setting(24, "Length at which a completion is cut", least=1, most=4096)
    max_prompt_tokens: int = setting(512, "Longer prompts are refused and counted", least=1, most=1_000_000)
    temperature: float = setting(
        0.9, "Sampling temperature; log-probabilities are taken at the same one", least=0.01, most=5
    )
    learning_rate: float = setting(6e-4, "Peak rate of AdamW; linear decay to 0", least=0, most=1)
    kl_coef: float = setting(
        0.03, "Weight of the completion's KL to the reference policy, taken off its score", least=0.0001, most=10
    )
    kl_limit: float = setting(
        10.0, "Stop when the KL to the reference exceeds this many nats per completion", least=0, most=10000
    )
    entropy_floor: float = setting(
        0.05, "Stop when the policy's entropy falls below this many nats per token", least=0, most=100
    )
    length_floor: float = setting(1.5, "Stop when answers are shorter than this many tokens", least=0, most=4096)
    clip_range: float = setting(0.2, "ε of the clipped objective; the ratio is that of whole answers", least=0, most=10)
    max_grad_norm: float = setting(1.0, "Gradient norm above which it is scaled down", least=0, most=1000)
    lora_rank: int = setting(16, "Rank of the adapter", least=1, most=1024)
    top_blocks: int = setting(6, "Transformer blocks, from the top, that carry the adapter", least=1, most=1000)
    eval_completions: int = setting(4, "Completions per eval prompt, before and after", least=1, most=64)
    save_every: int = setting(1, "Updates between resumable states", least=1)
    seed: int = setting(0, "Seed of the random generator", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        errors = {}
        if self.batch_size % self.minibatch_size:
            errors["minibatch_size"] = f"should divide batch_size ({self.batch_size}), not {self.minibatch_size}"
        if self.batch_size % self.completions_per_prompt:
            errors["completions_per_prompt"] = (
                f"should divide batch_size ({self.batch_size}), not {self.completions_per_prompt}"
            )
        if self.episodes < self.batch_size:
            errors["episodes"] = f"should be at least batch_size ({self.batch_size}), not {self.episodes}"
        if errors:
            raise InvalidConfig(errors)


def work(config: Mapping[str, Any], rows: int) -> float:
    """Return the tokens drawn, and those learned from in each pass."""
    return float(config["episodes"] * config["max_new_tokens"] * (1 + config["passes"]))


METHOD = Method(
    "rloo",
    "RLOO",
    RLOOConfig,
    recipe="rloo",
    data="prompt-only",
    makes="policy",
    order=50,
    work=work,
    presets={
        "quick": {"episodes": 128, "eval_completions": 1},
        "thorough": {"episodes": 1920, "eval_completions": 8},
    },
    plans=(
        Plan(
            "reward,rloo,sample",
            "The circle with RLOO: policy gradient with the other answers as baseline, no value model",
            order=50,
        ),
    ),
)
