"""REINFORCE leave-one-out: the method `rloo`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from training.methods import shared
from training.methods.base import Method, Plan
from training.methods.load import Load, at_once, draws_a_batch
from training.methods.settings import GATES, InvalidConfig, MethodConfig, setting


@dataclass(frozen=True)
class RLOOConfig(MethodConfig):
    """REINFORCE with the mean score of a prompt's other answers as baseline: PPO without a value model."""

    episodes: int = shared.episodes()
    batch_size: int = setting(32, "Episodes per update", least=2, most=65536)
    minibatch_size: int = setting(16, "Episodes per optimiser step", least=1, most=65536)
    passes: int = setting(1, "Passes over the episodes of one update", least=1, most=100)
    completions_per_prompt: int = setting(4, "Episodes that share a prompt", least=2, most=256)
    max_new_tokens: int = shared.answer_length()
    max_prompt_tokens: int = shared.max_prompt_tokens()
    temperature: float = shared.sampling_temperature()
    learning_rate: float = shared.policy_gradient_rate()
    kl_coef: float = setting(
        0.03, "Weight of the completion's KL to the reference policy, taken off its score", least=0.0001, most=10
    )
    kl_limit: float = shared.kl_limit()
    entropy_floor: float = shared.entropy_floor()
    length_floor: float = shared.length_floor()
    clip_range: float = setting(0.2, "ε of the clipped objective; the ratio is that of whole answers", least=0, most=10)
    max_grad_norm: float = shared.max_grad_norm()
    lora_rank: int = shared.lora_rank()
    top_blocks: int = shared.top_blocks()
    eval_completions: int = setting(4, "Completions per eval prompt, before and after", least=1, most=64)
    eval_every: int = shared.eval_every(5, "Updates")
    gate: str = shared.policy_gate()
    micro_batch: int = shared.micro_batch("Episodes")
    checkpointing: bool = shared.checkpointing()
    save_every: int = shared.save_every_updates()
    seed: int = shared.seed()

    choices: ClassVar = {"gate": GATES}

    def __post_init__(self) -> None:
        super().__post_init__()
        errors = shared.batch_errors(
            episodes=self.episodes, batch_size=self.batch_size, minibatch_size=self.minibatch_size
        )
        if self.batch_size % self.completions_per_prompt:
            errors["completions_per_prompt"] = (
                f"should divide batch_size ({self.batch_size}), not {self.completions_per_prompt}"
            )
        if self.micro_batch and self.minibatch_size % self.micro_batch:
            errors["micro_batch"] = f"should divide minibatch_size ({self.minibatch_size}), not {self.micro_batch}"
        if errors:
            raise InvalidConfig(errors)


def work(config: Mapping[str, Any], rows: int) -> float:
    """Return the tokens drawn, and those learned from in each pass."""
    return float(config["episodes"] * config["max_new_tokens"] * (1 + config["passes"]))


def learns(config: Mapping[str, Any], prompt: int, answer: int) -> Load:
    """Return the episodes that are learned from at once, each after its own prompt."""
    return Load(at_once(config, "minibatch_size"), prompt, 1, int(config["max_new_tokens"]))


METHOD = Method(
    "rloo",
    "RLOO",
    RLOOConfig,
    recipe="rloo",
    data="prompt-only",
    makes="policy",
    order=50,
    work=work,
    draws=draws_a_batch,
    learns=learns,
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
