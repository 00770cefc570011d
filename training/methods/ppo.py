"""Proximal policy optimisation: the method `ppo`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from training.methods import shared
from training.methods.base import Method, Plan
from training.methods.load import Load, at_once, draws_a_batch
from training.methods.settings import GATES, InvalidConfig, MethodConfig, setting

LEARNING_RATES = {"lora": 6e-4, "full": 1e-5}  # all weights at an adapter's rate are ruined by the first update


@dataclass(frozen=True)
class PPOConfig(MethodConfig):
    """Proximal policy optimisation against a reward model, held near the reference policy by a KL penalty."""

    episodes: int = shared.episodes()
    batch_size: int = setting(64, "Episodes per update", least=2, most=65536)
    minibatch_size: int = setting(32, "Episodes per optimiser step", least=1, most=65536)
    ppo_epochs: int = setting(4, "Passes over the episodes of one update", least=1, most=100)
    completions_per_prompt: int = setting(4, "Episodes that share a prompt in one update", least=1, most=256)
    max_new_tokens: int = shared.answer_length()
    max_prompt_tokens: int = shared.max_prompt_tokens()
    temperature: float = shared.sampling_temperature()
    learning_rate: float = setting(
        0.0, "Peak rate of AdamW; linear decay to 0; 0: 6e-4 for adapters, 1e-5 for all weights", least=0, most=1
    )
    kl_coef: float = setting(0.03, "Weight of the per-token KL penalty against the reference policy", least=0, most=10)
    kl_target: float = setting(
        0.0,
        "Nats per completion that an adaptive KL coefficient aims at; 0 keeps it fixed",
        least=0,
        most=1000,
    )
    kl_horizon: float = setting(
        5.0, "Updates in which an adaptive KL coefficient changes by 20 % at the most", least=1, most=1_000_000
    )
    kl_limit: float = shared.kl_limit()
    gamma: float = setting(1.0, "Discount of later rewards", least=0, most=1)
    gae_lambda: float = setting(0.95, "λ of generalised advantage estimation", least=0, most=1)
    clip_range: float = setting(0.2, "ε of the clipped policy objective", least=0, most=10)
    value_clip_range: float = setting(0.2, "Range in which a value estimate may move in one update", least=0, most=100)
    value_coef: float = setting(0.1, "Weight of the value loss", least=0, most=100)
    whiten_rewards: bool = setting(False, "Scale per-token rewards to variance 1 (mean kept)")
    missing_eos_score: float = setting(
        -1.0,
        "Score of a completion that was cut before its end, where missing_eos is 'replace'",
        least=-100,
        most=100,
    )
    missing_eos: str = setting("keep", "keep: score cut completions as they are; replace: give them missing_eos_score")
    max_grad_norm: float = shared.max_grad_norm()
    lora_rank: int = shared.lora_rank()
    top_blocks: int = shared.top_blocks()
    train: str = setting("lora", "lora: adapters on the shared base; full: all weights, in a model of their own")
    value_model: str = setting(
        "shared", "shared: a head on the policy's states; separate: an adapter that begins as the reward model's"
    )
    disagreement_coef: float = setting(
        0.0, "Taken off the score for each unit by which the reward model's heads disagree", least=0, most=100
    )
    entropy_floor: float = shared.entropy_floor()
    distinct_floor: float = setting(
        0.3, "Stop when fewer than this share of an answer's token pairs are distinct", least=0, most=1
    )
    length_floor: float = shared.length_floor()
    clipfrac_limit: float = setting(0.6, "Stop when more than this share of tokens is clipped", least=0, most=1)
    ratio_limit: float = setting(
        5.0, "Stop when the mean probability ratio of a minibatch exceeds this", least=1, most=1_000_000
    )
    gate: str = shared.policy_gate()
    save_every: int = shared.save_every_updates()
    eval_every: int = setting(
        5, "Updates between evaluations, of which the best checkpoint is kept; 0: only at the end", least=0
    )
    eval_completions: int = setting(4, "Completions per eval prompt and evaluation", least=1, most=64)
    micro_batch: int = shared.micro_batch("Episodes")
    checkpointing: bool = shared.checkpointing()
    processes: int = setting(1, "Processes that share every batch; each holds the whole model", least=1, most=1024)
    seed: int = shared.seed()

    choices: ClassVar = {
        "missing_eos": ("keep", "replace"),
        "train": ("lora", "full"),
        "value_model": ("shared", "separate"),
        "gate": GATES,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        errors = shared.batch_errors(
            episodes=self.episodes, batch_size=self.batch_size, minibatch_size=self.minibatch_size
        )
        if self.minibatch_size % self.completions_per_prompt:
            errors["completions_per_prompt"] = (
                f"should divide minibatch_size ({self.minibatch_size}), not {self.completions_per_prompt}"
            )
        if self.batch_size // self.completions_per_prompt % self.processes:
            errors["processes"] = (
                f"should divide the prompts of an update ({self.batch_size // self.completions_per_prompt}), "
                f"not {self.processes}"
            )
        if errors:
            raise InvalidConfig(errors)

    @property
    def rate(self) -> float:
        """Return the peak learning rate: the one that was set, or that of what learns."""
        return self.learning_rate or LEARNING_RATES[self.train]


def work(config: Mapping[str, Any], rows: int) -> float:
    """Return the tokens drawn, and those learned from in each pass."""
    return float(config["episodes"] * config["max_new_tokens"] * (1 + config["ppo_epochs"]))


def learns(config: Mapping[str, Any], prompt: int, answer: int) -> Load:
    """Return the episodes that are learned from at once; those of a prompt share it, and each has a last value."""
    episodes = min(at_once(config, "minibatch_size"), int(config["minibatch_size"]))
    per_prompt = int(config["completions_per_prompt"])
    return Load(-(-episodes // per_prompt), prompt, per_prompt, int(config["max_new_tokens"]) + 1)


METHOD = Method(
    "ppo",
    "PPO",
    PPOConfig,
    recipe="ppo",
    data="prompt-only",
    makes="policy",
    order=30,
    work=work,
    draws=draws_a_batch,
    learns=learns,
    keeps_copy=True,
    presets={
        "quick": {"episodes": 128, "eval_completions": 1, "eval_every": 0},
        "thorough": {"episodes": 1920, "eval_completions": 8},
    },
    plans=(
        Plan("reward,ppo,sample", "The whole circle: reward model, PPO, new answers to rank", order=10),
        Plan(
            "reward,ppo,evaluate,sample",
            "The whole circle, and people compare the new policy with the one before it",
            order=20,
        ),
    ),
)
