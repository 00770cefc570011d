"""Proposals of tasks in the manner of Self-Instruct: the method `self_instruct`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from training.methods import shared
from training.methods.base import Method, Plan
from training.methods.load import Available
from training.methods.servers import check_server, server_errors
from training.methods.settings import MethodConfig, idle, setting
from training.phrases import phrase


@dataclass(frozen=True)
class SelfInstructConfig(MethodConfig):
    """Tasks in the manner of a few examples, as in Self-Instruct. Nothing learns from one before people accepted it."""

    proposals: int = setting(64, "Tasks to propose", least=1, most=100_000)
    seed_examples: int = setting(6, "Seed tasks per request", least=0, most=64)
    pool_examples: int = setting(2, "Accepted proposals per request; filled up with seed tasks", least=0, most=64)
    max_new_tokens: int = setting(160, "Length at which a proposal is truncated, and rejected", least=8, most=4096)
    temperature: float = setting(0.8, "Sampling temperature", least=0.01, most=5)
    batch_size: int = setting(16, "Proposals generated together", least=1, most=4096)
    max_prompt_tokens: int = setting(2048, "Longer requests are skipped and counted", least=1, most=1_000_000)
    similarity: float = setting(0.7, "ROUGE-L from which an instruction counts as a near-duplicate", least=0.01, most=1)
    near_duplicates: str = setting("hold", "hold: not reviewed; review: reviewed, with a mark")
    server: str = setting("", "OpenAI-compatible server to use instead of the policy, as in sampling")
    server_model: str = setting("", "Model name on the server; can be empty if it has only one")
    seed: int = setting(
        0, "Seed of the random generator, and of the choice of examples", least=0, most=shared.MOST_SEED
    )

    choices: ClassVar = {"near_duplicates": ("hold", "review")}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_server(self.server)

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """Yield the settings that would do nothing beside the others."""
        yield from server_errors(self.server, "server_model")
        if self.server:
            yield from idle(
                "max_prompt_tokens", phrase("does nothing with a server, which reads what it can: leave it out")
            )


def answers(config: Mapping[str, Any], found: Available) -> int:
    """Return the answers drawn: one for each proposal."""
    return int(config["proposals"])


def work(config: Mapping[str, Any], rows: int) -> float:
    """Return the tokens drawn."""
    return float(config["proposals"] * config["max_new_tokens"])


METHOD = Method(
    "self_instruct",
    phrase("Self-instruct"),
    SelfInstructConfig,
    recipe="self_instruct",
    data="examples",
    makes="proposals",
    order=70,
    work=work,
    answers=answers,
    presets={"quick": {"proposals": 16}, "thorough": {"proposals": 256}},
    plans=(
        Plan(
            "self_instruct",
            phrase("Self-Instruct"),
            order=100,
            does=phrase("The model proposes instructions like the examples, for people to review."),
            needs=phrase("A prepared model."),
        ),
    ),
)
