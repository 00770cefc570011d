"""Asking a model: for candidates, for answers to compare, for proposals of tasks."""

from __future__ import annotations

from dataclasses import dataclass
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
    prompts: int = setting(0, "Prompts to answer, drawn at random; 0 takes all", least=0)
    server: str = setting(
        "", "Ask this OpenAI-compatible server (http://localhost:8000/v1) instead of the policy; its key, if it "
        "wants one, stands in PREFLOOP_SERVER_KEY",
    )  # fmt: skip
    server_model: str = setting("", "The server's name for the model; may stay empty where it has only one")
    seed: int = setting(0, "Seed of the random generator", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_server(self.server)


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
