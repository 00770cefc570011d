"""The reward model: the method `reward`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from training.methods import shared
from training.methods.base import Method, Plan, passes_over_rows
from training.methods.bases import NOTHING_LEARNED, parts_errors
from training.methods.load import Available, Load, at_once
from training.methods.settings import GATES, MethodConfig, idle, setting
from training.phrases import phrase


@dataclass(frozen=True)
class RewardConfig(MethodConfig):
    """Linear heads on states of the policy's base model, or on an adapter over it, trained on rankings."""

    epochs: int = setting(3, "Passes over the rankings", least=1, most=100)
    learning_rate: float = setting(1e-3, "Peak rate of AdamW for the adapter; linear decay to 0", least=0, most=1)
    head_learning_rate_factor: float = setting(
        3.0, "Learning rate of the heads relative to the adapter's", least=0, most=1000
    )
    rankings_per_step: int = setting(4, "Rankings in one optimiser step", least=1, most=1024)
    lora_rank: int = shared.lora_rank()
    top_blocks: int = shared.top_blocks()
    loss: str = setting("bradley_terry", "bradley_terry: pairs with soft labels; plackett_luce: whole rankings")
    margin: float = setting(
        0.0, "Margin of Bradley-Terry between first and last, less between neighbours", least=0, most=10
    )
    pooling: str = setting(
        "depths",
        "Input of the heads: depths (the base model's states at several depths; no adapter is trained, epochs and "
        "rates have no effect), or its final states under an adapter: mean, last, attention, or verbalizer (Yes or No "
        "to whether the response is good; slower, since every response is read again)",
    )
    ridge: float = setting(
        0.2,
        "Penalty on the heads' weights, with pooling 'depths'; 0: chosen by cross-validation over prompts",
        least=0,
        most=1000,
    )
    line: bool = setting(
        True,
        "Also learn from the line above unacceptable responses, as one more candidate that scores 0 everywhere, and "
        "from responses that are judged good or bad by themselves",
    )
    heads: int = setting(
        2,
        "The first trains on all rankings, each other one on a bootstrap; the last of several measures checkpoints",
        least=1,
        most=64,
    )
    weight_decay: float = setting(0.0, "AdamW's weight decay", least=0, most=10)
    start: str = setting("fresh", "Initial adapter: fresh, policy, or previous (the last reward model)")
    max_length: int = setting(
        512, "Tokens of prompt and response; longer ones are skipped and counted", least=8, most=1_000_000
    )
    learning_curve: int = setting(
        3, "Further models trained on 1/2, 1/4, … of the rankings, for a learning curve", least=0, most=10
    )
    gate: str = setting("stop", "If the model fails its quality gate: stop the round, or only report it")
    reference_samples: int = setting(
        96,
        "Responses of the reference policy on which scores are normalised to mean 0, variance 1",
        least=2,
        most=100_000,
    )
    max_new_tokens: int = setting(
        24, "Length at which those responses are truncated", least=1, most=4096, inherits=shared.ANSWER_TOKENS
    )
    temperature: float = shared.eval_temperature()
    micro_batch: int = shared.micro_batch(phrase("Rankings"))
    checkpointing: bool = shared.checkpointing()
    seed: int = shared.seed()

    choices: ClassVar = {
        "loss": ("bradley_terry", "plackett_luce"),
        "pooling": ("depths", "mean", "last", "attention", "verbalizer"),
        "start": ("fresh", "policy", "previous"),
        "gate": GATES,
    }

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """Yield the settings that would do nothing beside the others."""
        if self.pooling == "depths":
            yield from idle(
                "epochs learning_rate head_learning_rate_factor rankings_per_step lora_rank top_blocks weight_decay "
                "start micro_batch checkpointing",
                phrase(
                    "does nothing with pooling=depths, where no adapter learns: leave it out, or set pooling to mean, "
                    "last, attention or verbalizer"
                ),
            )
        if self.loss == "plackett_luce":
            yield from idle(
                "margin", phrase("does nothing with loss=plackett_luce: leave it out, or set loss to bradley_terry")
            )
        if self.pooling == "depths":
            return
        yield from parts_errors(self.micro_batch, self.rankings_per_step, "rankings_per_step")
        if self.heads == 1:
            yield from idle(
                "ridge",
                phrase("does nothing without pooling=depths and without a judge: leave it out, or set heads to 2"),
            )
        if not self.learning_rate:
            yield "learning_rate", NOTHING_LEARNED


def work(config: Mapping[str, Any], rows: int) -> float:
    """Return the rankings read: once for heads on the base model's states, once an epoch for an adapter."""
    return float(rows) if config["pooling"] == "depths" else passes_over_rows(config, rows)


def answers(config: Mapping[str, Any], found: Available) -> int:
    """Return the answers of the reference policy that scores are normalised on."""
    return int(config["reference_samples"])


ANSWERS_OF_A_RANKING = 4  # as the forecast of memory counts them


def learns(config: Mapping[str, Any], prompt: int, answer: int) -> Load | None:
    """Return the rankings that an adapter learns from at once; None for heads on the base model's states."""
    if config.get("pooling") == "depths":
        return None
    return Load(at_once(config, "rankings_per_step"), prompt, ANSWERS_OF_A_RANKING, answer)


METHOD = Method(
    "reward",
    phrase("Reward model"),
    RewardConfig,
    recipe="reward",
    data="ranking",
    makes="reward_model",
    order=20,
    work=work,
    answers=answers,
    learns=learns,
    presets={
        "quick": {"learning_curve": 0, "reference_samples": 32},
        "thorough": {"heads": 4, "learning_curve": 4, "reference_samples": 256},
    },
    plans=(
        Plan(
            "reward",
            phrase("Reward model only"),
            order=30,
            does=phrase(
                "Trains a reward model and measures on held-out prompts how well it predicts what people prefer. The "
                "policy stays as it is."
            ),
            needs=phrase("Rankings; at least 20 held-out preference pairs to pass the quality gate."),
            costs=phrase("Little time: no PPO."),
            common=True,
        ),
    ),
)
