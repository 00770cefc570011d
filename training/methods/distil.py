"""Best-of-n distillation: the method `distil`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from training.methods import shared
from training.methods.base import Method, Plan
from training.methods.bases import NOTHING_LEARNED, parts_errors
from training.methods.load import Available, Load, at_once, evaluated, prompts_at_once
from training.methods.settings import GATES, InvalidConfig, MethodConfig, setting
from training.phrases import phrase


@dataclass(frozen=True)
class DistilConfig(MethodConfig):
    """Best-of-n distillation: of n responses that the policy samples to a prompt, the best by the reward model against
    the worst, by DPO. Nothing is sampled while it learns."""

    completions_per_prompt: int = setting(
        8, "Responses that the policy samples to each prompt and the reward model scores", least=2, most=256
    )
    pairs_per_prompt: int = setting(
        2,
        "Pairs per prompt: the best response and the worst, the second best and the second worst, …",
        least=1,
        most=128,
    )
    max_new_tokens: int = setting(
        24, "Length at which a response is truncated", least=1, most=4096, inherits=shared.ANSWER_TOKENS
    )
    max_prompt_tokens: int = shared.max_prompt_tokens()
    temperature: float = setting(0.9, "Sampling temperature", least=0.01, most=5, inherits=shared.TEMPERATURE)
    epochs: int = setting(3, "Passes over the pairs", least=1, most=100)
    batch_size: int = setting(16, "Pairs per optimiser step", least=1, most=65536)
    learning_rate: float = setting(5e-4, "Peak rate of AdamW; linear decay to 0", least=0, most=1)
    beta: float = setting(0.1, "β: strength of the KL constraint to the reference policy", least=0.0001, most=100)
    lora_rank: int = shared.lora_rank()
    top_blocks: int = shared.top_blocks()
    eval_completions: int = shared.eval_completions()
    eval_every: int = shared.eval_every(10, phrase("Steps"))
    gate: str = shared.policy_gate()
    micro_batch: int = shared.micro_batch(phrase("Pairs"))
    checkpointing: bool = shared.checkpointing()
    processes: int = shared.processes()
    save_every: int = shared.save_every(phrase("Steps"))
    seed: int = shared.seed()

    choices: ClassVar = {"gate": GATES}

    def __post_init__(self) -> None:
        super().__post_init__()
        if 2 * self.pairs_per_prompt > self.completions_per_prompt:
            why = phrase(
                "should be at most half of completions_per_prompt (%(count)s), not %(given)s",
                count=self.completions_per_prompt,
                given=self.pairs_per_prompt,
            )
            raise InvalidConfig({"pairs_per_prompt": why})

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """Yield the settings that would do nothing beside the others."""
        yield from parts_errors(self.micro_batch, self.batch_size, "batch_size")
        if not self.learning_rate:
            yield "learning_rate", NOTHING_LEARNED


def answers(config: Mapping[str, Any], found: Available) -> int:
    """Return the answers drawn: to each training prompt before it learns, and those of its evaluations."""
    prompts = found.prompts - found.held_out
    pairs = prompts * int(config["pairs_per_prompt"]) * int(config["epochs"])
    return prompts * int(config["completions_per_prompt"]) + evaluated(config, found.held_out, pairs)


def work(config: Mapping[str, Any], rows: int) -> float:
    """Return the tokens drawn, and those learned from in each pass."""
    per_prompt = config["completions_per_prompt"] + 2 * config["pairs_per_prompt"] * config["epochs"]
    return float(rows * config["max_new_tokens"] * per_prompt)


def draws(config: Mapping[str, Any], prompt: int) -> Load:
    """Return the responses that are drawn at once: all to a prompt, and to as many prompts as fit beside them."""
    count = int(config["completions_per_prompt"])
    return Load(prompts_at_once(count), prompt, count, int(config["max_new_tokens"]))


def learns(config: Mapping[str, Any], prompt: int, answer: int) -> Load:
    """Return the pairs that are learned from at once: chosen and rejected response, each after its own prompt."""
    return Load(2 * at_once(config, "batch_size"), prompt, 1, int(config["max_new_tokens"]))


METHOD = Method(
    "distil",
    phrase("Best-of-n distillation"),
    DistilConfig,
    recipe="distil",
    data="prompt-only",
    makes="policy",
    uses_trl=True,
    order=35,
    work=work,
    answers=answers,
    draws=draws,
    learns=learns,
    presets={
        "quick": {"completions_per_prompt": 4, "epochs": 1, "eval_completions": 1},
        "thorough": {"completions_per_prompt": 16, "pairs_per_prompt": 4, "eval_completions": 8},
    },
    plans=(
        Plan(
            "reward,distil,sample",
            phrase("Full round with best-of-n distillation"),
            order=45,
            does=phrase(
                "As a full round, without PPO: the policy learns from the best and the worst of many of its own "
                "responses, as the reward model scores them."
            ),
            needs=phrase("As a full round."),
            costs=phrase("Less time than PPO: nothing is sampled while it learns."),
        ),
    ),
)
