"""Proximal policy optimisation: the method `ppo`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from training.methods.base import Method, Plan
from training.methods.bases import PolicyGradientConfig, should_divide
from training.methods.load import Load, answers_of_episodes, at_once, draws_a_batch
from training.methods.settings import GATES, idle, setting
from training.phrases import phrase

LEARNING_RATES = {"lora": 6e-4, "full": 1e-5}  # all weights at an adapter's rate are ruined by the first update


@dataclass(frozen=True)
class PPOConfig(PolicyGradientConfig):
    """Proximal policy optimisation against a reward model, held near the reference policy by a KL penalty."""

    batch_size: int = setting(64, "Episodes per update", least=2, most=65536)
    minibatch_size: int = setting(32, "Episodes per optimiser step", least=1, most=65536)
    completions_per_prompt: int = setting(4, "Episodes that share a prompt in one update", least=1, most=256)
    learning_rate: float = setting(
        0.0, "Peak rate of AdamW; linear decay to 0; 0: 6e-4 for adapters, 1e-5 for all weights", least=0, most=1
    )
    kl_coef: float = setting(0.03, "Weight of the per-token KL penalty against the reference policy", least=0, most=10)
    clip_range: float = setting(0.2, "ε of the clipped policy objective", least=0, most=10)
    eval_completions: int = setting(4, "Responses per held-out prompt and evaluation", least=1, most=64)
    ppo_epochs: int = setting(4, "Passes over the episodes of one update", least=1, most=100)
    kl_target: float = setting(
        0.0,
        "KL target of the adaptive coefficient, in nats per response; 0: fixed coefficient",
        least=0,
        most=1000,
    )
    kl_horizon: float = setting(
        5.0, "Updates over which the adaptive coefficient changes by at most 20%", least=1, most=1_000_000
    )
    gamma: float = setting(1.0, "Discount of later rewards", least=0, most=1)
    gae_lambda: float = setting(0.95, "λ of generalised advantage estimation", least=0, most=1)
    value_clip_range: float = setting(0.2, "Range in which a value estimate can move in one update", least=0, most=100)
    value_coef: float = setting(0.1, "Weight of the value loss", least=0, most=100)
    whiten_rewards: bool = setting(False, "Scale per-token rewards to variance 1 (mean kept)")
    missing_eos_score: float = setting(
        -1.0,
        "Score of a truncated response, where missing_eos is 'replace'",
        least=-100,
        most=100,
    )
    missing_eos: str = setting(
        "keep", "keep: score truncated responses as they are; replace: give them missing_eos_score"
    )
    train: str = setting("lora", "lora: adapters on the shared base; full: all weights, in a separate model")
    value_model: str = setting(
        "shared", "shared: a head on the policy's states; separate: an adapter initialised from the reward model"
    )
    disagreement_coef: float = setting(
        0.0,
        "Subtracted from the score per unit of disagreement of the reward model's heads; needs 3 heads or more",
        least=0,
        most=100,
    )
    distinct_floor: float = setting(
        0.3, "Stop when fewer than this share of a response's token pairs are distinct", least=0, most=1
    )
    clipfrac_limit: float = setting(0.6, "Stop when more than this share of tokens is clipped", least=0, most=1)
    ratio_limit: float = setting(
        5.0, "Stop when the mean probability ratio of a minibatch exceeds this", least=1, most=1_000_000
    )

    choices: ClassVar = {
        "missing_eos": ("keep", "replace"),
        "train": ("lora", "full"),
        "value_model": ("shared", "separate"),
        "gate": GATES,
    }

    def size_errors(self) -> dict[str, str]:
        """Return what is wrong with the numbers of episodes, by setting."""
        errors = super().size_errors()
        if self.minibatch_size % self.completions_per_prompt:
            errors["completions_per_prompt"] = should_divide(
                "minibatch_size", self.minibatch_size, self.completions_per_prompt
            )
        return errors

    @property
    def rate(self) -> float:
        """Return the peak learning rate: the one that was set, or that of what learns."""
        return self.learning_rate or LEARNING_RATES[self.train]

    @property
    def passes_over_update(self) -> int:
        """Return how often the episodes of an update are learned from."""
        return self.ppo_epochs

    def needed_heads(self) -> dict[str, int]:
        """Return the heads that disagreement needs: one judges, and one alone cannot disagree."""
        return {"disagreement_coef": 3} if self.disagreement_coef else {}

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """Yield the settings that would do nothing beside the others."""
        yield from super().without_effect()
        if not self.kl_target:
            yield from idle(
                "kl_horizon",
                phrase("does nothing while kl_target is 0, which keeps kl_coef fixed: set it, or leave this out"),
            )
        if not self.kl_coef:
            yield from idle(
                "kl_target",
                phrase("does nothing while kl_coef is 0, which stays 0 when it is multiplied: set it above 0"),
            )
        if self.missing_eos == "keep":
            yield from idle(
                "missing_eos_score",
                phrase("does nothing while missing_eos is keep: set that to replace, or leave this out"),
            )
        if self.train == "full" and self.value_model == "shared":
            yield from idle(
                "lora_rank top_blocks", phrase("does nothing with train=full, where no adapter learns: leave it out")
            )
        if not self.value_coef:
            yield from idle(
                "value_clip_range value_model",
                phrase("does nothing while value_coef is 0, where no value is learned: set it above 0"),
            )
        if self.passes_over_update == 1 and self.minibatch_size == self.batch_size:
            yield from idle(
                "value_clip_range clipfrac_limit ratio_limit",
                phrase(
                    "does nothing where each episode is learned from once, in one step: nothing has moved there yet. "
                    "Set more ppo_epochs or a smaller minibatch_size, or leave it out"
                ),
            )


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
    phrase("PPO"),
    PPOConfig,
    recipe="ppo",
    data="prompt-only",
    makes="policy",
    order=30,
    work=work,
    answers=answers_of_episodes,
    draws=draws_a_batch,
    learns=learns,
    keeps_copy=True,
    presets={
        "quick": {"episodes": 128, "eval_completions": 1, "eval_every": 0},
        "thorough": {"episodes": 1920, "eval_completions": 8},
    },
    plans=(
        Plan(
            "reward,ppo,sample",
            phrase("Full round"),
            order=20,
            does=phrase(
                "Trains a reward model on the annotations, improves the policy with PPO against it, and generates "
                "new responses to rank."
            ),
            needs=phrase("About 100 rankings, and enough held-out preference pairs for the quality gate."),
            costs=phrase("The most time, nearly all of it for PPO."),
            common=True,
        ),
        Plan(
            "reward,ppo,evaluate,sample",
            phrase("Full round with evaluation by people"),
            order=40,
            does=phrase(
                "As a full round; annotators then compare the new policy version with the one before it, blind."
            ),
            needs=phrase("As a full round, and annotators for the comparisons."),
        ),
    ),
)
