"""Drawing answers of a policy: the method `sample`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar

from training.methods import shared
from training.methods.base import Method, Plan
from training.methods.bases import at_least_setting
from training.methods.load import Available
from training.methods.servers import check_server, server_errors
from training.methods.settings import InvalidConfig, MethodConfig, idle, setting
from training.phrases import phrase


@dataclass(frozen=True)
class SampleConfig(MethodConfig):
    """Completions of a policy for prompts. top-p is 1 and there is no top-k: PPO relies on plain sampling."""

    completions_per_prompt: int = setting(4, "Responses per prompt", least=1, most=64)
    max_new_tokens: int = setting(
        24, "Length at which a response is truncated", least=1, most=4096, inherits=shared.ANSWER_TOKENS
    )
    temperature: float = setting(0.9, "Sampling temperature", least=0.01, most=5, inherits=shared.TEMPERATURE)
    batch_size: int = setting(64, "Responses generated together", least=1, most=4096)
    max_prompt_tokens: int = shared.max_prompt_tokens()
    prompts: int = setting(0, "Prompts to respond to; 0: all", least=0, most=shared.MOST_PROMPTS)
    choose_by: str = setting(
        "random",
        "How those prompts are chosen: random; disagreement: those on whose responses the heads of the reward model "
        "disagree most",
    )
    control_share: float = setting(0.2, "Share of them drawn at random, as a sample of all prompts", least=0, most=1)
    pool: int = setting(
        0,
        "Candidate prompts for the choice by disagreement; 0: four times as many as are chosen",
        least=0,
        most=shared.MOST_PROMPTS,
    )
    base_share: float = setting(
        0.0, "Share of a prompt's responses by version 0, the reference policy", least=0, most=1
    )
    older_share: float = setting(
        0.0, "Share of them by a version between version 0 and the current one", least=0, most=1
    )
    people_share: float = setting(
        1.0,
        "Share of prompts whose reference response is ranked with them, if there is one",
        least=0,
        most=1,
    )
    server: str = setting(
        "",
        "OpenAI-compatible server (http://localhost:8000/v1) to use instead of the policy; one of those in "
        "PREFLOOP_SERVERS",
    )
    server_model: str = setting("", "Model name on the server; can be empty if it has only one")
    seed: int = shared.seed()

    choices: ClassVar = {"choose_by": ("random", "disagreement")}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_server(self.server)
        errors: dict[str, str] = {}
        if self.base_share + self.older_share > 1:
            errors["older_share"] = phrase(
                "should leave base_share (%(share)s) its part of 1", share=format(self.base_share, "g")
            )
        if self.server and self.base_share + self.older_share:
            errors["server"] = phrase("generates all responses: base_share and older_share have to be 0")
        if self.choose_by == "disagreement":
            errors |= self._chosen_errors()
        if errors:
            raise InvalidConfig(errors)

    def _chosen_errors(self) -> dict[str, str]:
        errors: dict[str, str] = {}
        if self.server:
            errors["server"] = phrase("generates all responses: choose_by has to be random")
        if not self.prompts:
            errors["prompts"] = phrase("should be the number of prompts to choose by disagreement")
        if 0 < self.pool < self.prompts:
            errors["pool"] = at_least_setting("prompts", self.prompts, self.pool)
        others = self.completions_per_prompt * (self.base_share + self.older_share)
        if self.completions_per_prompt - ceil(others - 1e-9) < 2:
            errors["completions_per_prompt"] = phrase(
                "should leave the policy two responses: on fewer there is no disagreement"
            )
        return errors

    def needed_heads(self) -> dict[str, int]:
        """Return the heads that disagreement needs; here the judge counts as one."""
        return {"choose_by": 2} if self.choose_by == "disagreement" else {}

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """Yield the settings that would do nothing beside the others."""
        if self.choose_by == "random":
            yield from idle(
                "control_share pool", phrase("does nothing with choose_by=random: leave it out, or set choose_by")
            )
        elif self.control_share == 1:
            yield from idle(
                "choose_by", phrase("does nothing while control_share is 1: all prompts are drawn at random then")
            )
        yield from server_errors(self.server, "server_model")
        if self.server:
            yield from idle(
                "max_prompt_tokens", phrase("does nothing with a server, which reads what it can: leave it out")
            )

    @property
    def asked(self) -> int:
        """Return how many prompts the policy answers; 0: all of them."""
        return (self.pool or 4 * self.prompts) if self.choose_by == "disagreement" else self.prompts


def answers(config: Mapping[str, Any], found: Available) -> int:
    """Return the answers drawn: the same number to each prompt."""
    asked = SampleConfig(**config).asked
    return (min(asked, found.prompts) if asked else found.prompts) * int(config["completions_per_prompt"])


def work(config: Mapping[str, Any], rows: int) -> float:
    """Return the tokens drawn."""
    return float(answers(config, Available(prompts=rows)) * config["max_new_tokens"])


METHOD = Method(
    "sample",
    phrase("Sampling"),
    SampleConfig,
    recipe="sample",
    data="prompt-only",
    makes="completions",
    order=10,
    work=work,
    answers=answers,
    presets={"quick": {"completions_per_prompt": 2, "prompts": 50}},
    plans=(
        Plan(
            "sample",
            phrase("Generate responses"),
            order=10,
            does=phrase("The current policy version responds to the prompts. Its responses become tasks to rank."),
            needs=phrase("Prompts and a prepared model."),
            costs=phrase("The least time: nothing is trained."),
            common=True,
        ),
    ),
)
