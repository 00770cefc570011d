"""Asking a model: for candidates, for answers to compare, for proposals of tasks."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import ClassVar
from urllib.parse import urlsplit

from training.methods.settings import InvalidConfig, MethodConfig, setting


@dataclass(frozen=True)
class SampleConfig(MethodConfig):
    """Completions of a policy for prompts. top-p is 1 and there is no top-k: PPO relies on plain sampling."""

    completions_per_prompt: int = setting(4, "Completions drawn for every prompt", least=1, most=64)
    max_new_tokens: int = setting(24, "Length at which a completion is cut (truncated)", least=1, most=4096)
    temperature: float = setting(0.9, "Sampling temperature", least=0.01, most=5)
    batch_size: int = setting(64, "Completions generated together", least=1, most=4096)
    max_prompt_tokens: int = setting(512, "Longer prompts are refused and counted", least=1, most=1_000_000)
    prompts: int = setting(0, "Prompts to answer; 0 takes all", least=0)
    choose_by: str = setting(
        "random",
        "How those prompts are chosen: random; disagreement, those on whose answers the heads of the reward model "
        "disagree most",
    )
    control_share: float = setting(
        0.2, "Share of them that is drawn at random all the same: only those stand for all prompts", least=0, most=1
    )
    pool: int = setting(
        0, "Prompts answered to choose among by disagreement; 0: four times as many as are chosen", least=0
    )
    base_share: float = setting(
        0.0, "Share of a prompt's answers drawn from version 0, the reference policy", least=0, most=1
    )
    older_share: float = setting(
        0.0, "Share of them drawn from one of the versions between version 0 and the current one", least=0, most=1
    )
    people_share: float = setting(
        1.0,
        "Share of the prompts where an answer written by people is ranked with them, if there is one",
        least=0,
        most=1,
    )
    server: str = setting(
        "",
        "Ask this OpenAI-compatible server (http://localhost:8000/v1) instead of the policy; its key, if it "
        "wants one, stands in PREFLOOP_SERVER_KEY",
    )
    server_model: str = setting("", "The server's name for the model; may stay empty where it has only one")
    seed: int = setting(0, "Seed of the random generator", least=0)

    choices: ClassVar = {"choose_by": ("random", "disagreement")}

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_server(self.server)
        errors = {}
        if self.base_share + self.older_share > 1:
            errors["older_share"] = f"should leave base_share ({self.base_share:g}) its part of 1"
        if self.server and self.base_share + self.older_share:
            errors["server"] = "answers alone: base_share and older_share have to be 0"
        if self.choose_by == "disagreement":
            errors |= self._chosen_errors()
        if errors:
            raise InvalidConfig(errors)

    def _chosen_errors(self) -> dict[str, str]:
        errors = {}
        if self.server:
            errors["server"] = "answers alone: choose_by has to be random"
        if not self.prompts:
            errors["prompts"] = "should say how many prompts are chosen by disagreement"
        if 0 < self.pool < self.prompts:
            errors["pool"] = f"should be at least prompts ({self.prompts}), not {self.pool}"
        others = self.completions_per_prompt * (self.base_share + self.older_share)
        if self.completions_per_prompt - ceil(others - 1e-9) < 2:
            errors["completions_per_prompt"] = "should leave the policy two answers: on fewer nobody can disagree"
        return errors

    @property
    def asked(self) -> int:
        """Prompts that the policy answers; 0: all of them."""
        return (self.pool or 4 * self.prompts) if self.choose_by == "disagreement" else self.prompts


@dataclass(frozen=True)
class EvaluateConfig(MethodConfig):
    """Two versions answer the prompts kept for evaluation; people say, blind, which answer is better."""

    against: str = setting(
        "before", "before: the version with which the round began; base: version 0; references: people's answers"
    )
    prompts: int = setting(50, "Prompts kept for evaluation to answer, drawn at random; 0 takes all", least=0)
    seats: int = setting(1, "People who judge each comparison", least=1, most=20)
    max_new_tokens: int = setting(24, "Length at which an answer is cut, of both sides", least=1, most=4096)
    temperature: float = setting(0.9, "Sampling temperature of both sides", least=0.01, most=5)
    batch_size: int = setting(64, "Answers generated together", least=1, most=4096)
    max_prompt_tokens: int = setting(512, "Longer prompts are refused and counted", least=1, most=1_000_000)
    seed: int = setting(0, "Seed of the random generator, of the choice of prompts and of the order", least=0)

    choices: ClassVar = {"against": ("before", "base", "references")}


@dataclass(frozen=True)
class SelfInstructConfig(MethodConfig):
    """Tasks in the manner of a few examples, as in Self-Instruct. Nothing learns from one before people accepted it."""

    proposals: int = setting(64, "Tasks to ask for", least=1, most=100_000)
    seed_examples: int = setting(6, "Seed tasks that each request shows", least=0, most=64)
    pool_examples: int = setting(2, "Accepted proposals shown with them; seeds fill up", least=0, most=64)
    max_new_tokens: int = setting(160, "Length at which a proposal is cut, and refused", least=8, most=4096)
    temperature: float = setting(0.8, "Sampling temperature", least=0.01, most=5)
    batch_size: int = setting(16, "Proposals generated together", least=1, most=4096)
    max_prompt_tokens: int = setting(2048, "Longer requests are left out and counted", least=1, most=1_000_000)
    similarity: float = setting(
        0.7, "ROUGE-L from which on an instruction is a near-duplicate of another one", least=0.01, most=1
    )
    near_duplicates: str = setting("hold", "hold: nobody reviews them; review: they are reviewed, with a mark")
    server: str = setting("", "Ask this OpenAI-compatible server instead of the policy; its key, as in sampling")
    server_model: str = setting("", "The server's name for the model; may stay empty where it has only one")
    seed: int = setting(0, "Seed of the random generator, and of the choice of examples", least=0)

    choices: ClassVar = {"near_duplicates": ("hold", "review")}

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_server(self.server)


def _check_server(server: str) -> None:
    if server and not _is_address(server):
        raise InvalidConfig({"server": f"should be an address such as http://localhost:8000/v1, not {server}"})
    if "@" in server:
        raise InvalidConfig({"server": "should hold no password: settings are shown on pages"})


def _is_address(text: str) -> bool:
    try:
        address = urlsplit(text)
    except ValueError:
        return False
    return address.scheme in ("http", "https") and bool(address.hostname)
