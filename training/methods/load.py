"""What of a run is in memory at once: answers that are drawn, and rows that are learned from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

EVALUATED_AT_ONCE = 64  # answers


@dataclass(frozen=True)
class Load:
    """What is in memory at once: rows with a prompt of `prompt` tokens, `answers` each, of `answer` tokens."""

    rows: int
    prompt: int
    answers: int
    answer: int

    @property
    def tokens(self) -> int:
        """Tokens that are read at once: a prompt stands once before all of its answers."""
        return self.rows * (self.prompt + self.answers * self.answer)


@dataclass(frozen=True)
class Available:
    """What a project has that runs draw answers to: prompts, those of them held out, and judgments to learn from."""

    prompts: int = 0
    held_out: int = 0
    judgments: int = 0


AnswersDrawn = Callable[[Mapping[str, Any], Available], int]  # of settings
Draws = Callable[[Mapping[str, Any], int], Load | None]  # of settings, and tokens of a prompt
Learns = Callable[[Mapping[str, Any], int, int], Load | None]  # of settings, and tokens of a prompt and of an answer


def draws_for_evaluation(config: Mapping[str, Any], prompt: int) -> Load | None:
    """Return the answers that an evaluation draws at once; None for a method that draws none."""
    length = int(config.get("max_new_tokens", 0))
    per_prompt = int(config.get("eval_completions") or config.get("completions_per_prompt") or 1)
    at_once = int(config.get("sampling_batch", 0)) or EVALUATED_AT_ONCE
    return Load(max(1, at_once // per_prompt), prompt, per_prompt, length) if length else None


def prompts_at_once(per_prompt: int) -> int:
    """Return to how many prompts so many answers each are drawn at once, where no setting says how many."""
    return max(1, EVALUATED_AT_ONCE // per_prompt)


def draws_a_batch(config: Mapping[str, Any], prompt: int) -> Load:
    """Return the answers of an update's batch, or of the part of one, that are drawn at once."""
    per_prompt = int(config["completions_per_prompt"])
    answers = min(int(config.get("sampling_batch", 0)) or int(config["batch_size"]), int(config["batch_size"]))
    return Load(-(-answers // per_prompt), prompt, per_prompt, int(config["max_new_tokens"]))


def learns_nothing(config: Mapping[str, Any], prompt: int, answer: int) -> None:
    """Return None: the method learns nothing in the model's blocks."""


def learns_rows(config: Mapping[str, Any], prompt: int, answer: int) -> Load:
    """Return the rows of an optimiser step, or of the part of one that is read at once: a prompt and an answer each."""
    return Load(at_once(config, "batch_size"), prompt, 1, answer)


def learns_episodes(config: Mapping[str, Any], prompt: int, answer: int) -> Load:
    """Return the episodes that are learned from at once, each after its own prompt."""
    return Load(at_once(config, "minibatch_size"), prompt, 1, int(config["max_new_tokens"]))


def at_once(config: Mapping[str, Any], step: str) -> int:
    """Return how many rows of an optimiser step are read at once; `step` is the setting with all of them."""
    return int(config.get("micro_batch", 0)) or int(config[step])


def answers_of_evaluations(config: Mapping[str, Any], found: Available) -> int:
    """Return the answers drawn to held-out prompts, before, after and while a policy learns from judgments."""
    return evaluated(config, found.held_out, found.judgments * int(config.get("epochs", 1)))


def answers_of_episodes(config: Mapping[str, Any], found: Available) -> int:
    """Return the answers that a policy draws and learns from, and those of its evaluations."""
    return int(config["episodes"]) + evaluated(config, found.held_out, int(config["episodes"]))


def evaluated(config: Mapping[str, Any], prompts: int, rows: int) -> int:
    """Return the answers of all evaluations of a run that learns from so many rows."""
    completions, every = int(config.get("eval_completions", 0)), int(config.get("eval_every", 0))
    steps = rows // int(config.get("batch_size", 1))
    return prompts * completions * (2 + (steps // every if every else 0))
