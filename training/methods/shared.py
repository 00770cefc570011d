"""Settings that several methods have, each defined once.

A method names them in its own dataclass, so that its order of fields is its own; each call returns a new field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.methods.settings import setting
from training.phrases import Phrase, phrase

MOST_SEED = 2**32 - 1  # of a generator with 32 bits, as NumPy's
MOST_STEPS = 1_000_000  # of a run
MOST_AT_ONCE = 65_536  # rows or answers that a step reads or draws
MOST_PROMPTS = 1_000_000
ANSWER_TOKENS, TEMPERATURE = "answer_tokens", "temperature"  # the project's settings that stages inherit


# Of most methods.
def seed() -> Any:
    return setting(0, "Seed of the random generator", least=0, most=MOST_SEED)


def max_prompt_tokens() -> Any:
    return setting(512, "Longer prompts are skipped and counted", least=1, most=1_000_000)


def lora_rank() -> Any:
    """Return the setting of an adapter's rank; that of a policy grows between rounds and never shrinks."""
    return setting(
        16, "Rank of the adapter; one with a smaller rank grows, one with a larger keeps it", least=1, most=1024
    )


def top_blocks() -> Any:
    return setting(
        6,
        "Transformer blocks with the adapter, from the top; an adapter in fewer blocks grows, one in more keeps them",
        least=1,
        most=1000,
    )


# Of methods that train a policy.
def processes() -> Any:
    """Return the setting for how many processes, each with a GPU where there are any, share every batch."""
    return setting(1, "Processes that share every batch; each holds the whole model", least=1, most=1024)


def share_errors(processes: int, counts: Mapping[Phrase, int]) -> dict[str, str]:
    """Return an error where the processes cannot share one of these counts evenly; nothing where they can."""
    for name, count in counts.items():
        if count % processes:
            text = "should divide the %(name)s (%(count)s), not %(processes)s"
            return {"processes": phrase(text, name=name, count=count, processes=processes)}
    return {}


def max_grad_norm() -> Any:
    return setting(1.0, "Gradient norm above which it is scaled down", least=0.0001, most=1000)


# Of methods that learn from given answers, and draw some to eval prompts before and after.
def max_length() -> Any:
    return setting(512, "Tokens of prompt and response; longer ones are skipped and counted", least=8, most=1_000_000)


def eval_answer_length() -> Any:
    return setting(
        24, "Length at which responses to held-out prompts are truncated", least=1, most=4096, inherits=ANSWER_TOKENS
    )


def eval_temperature() -> Any:
    return setting(0.9, "Temperature of those responses", least=0.01, most=5, inherits=TEMPERATURE)


def eval_completions() -> Any:
    return setting(4, "Responses per held-out prompt, before and after", least=1, most=64)


def save_every(unit: Phrase) -> Any:
    """Return the setting for how often a run can be resumed from; `unit` is what is counted."""
    return setting(
        0,
        phrase("%(unit)s between resumable states; 0: as often as takes less than a twentieth of the time", unit=unit),
        least=0,
        most=MOST_STEPS,
    )


def micro_batch(unit: Phrase) -> Any:
    """Return the setting that parts an optimiser step; `unit` is what it counts."""
    return setting(
        0,
        phrase(
            "%(unit)s in memory at once within an optimiser step; 0: all of them, halved where memory runs out",
            unit=unit,
        ),
        least=0,
        most=MOST_AT_ONCE,
    )


def checkpointing() -> Any:
    """Return the setting that trades time for memory in the backward pass."""
    return setting(False, "Recompute activations in the backward pass: less memory, about a third more time")


def eval_every(default: int, unit: Phrase) -> Any:
    """Return the setting for how often a policy is evaluated while it learns; `unit` is what is counted."""
    return setting(
        default,
        phrase("%(unit)s between evaluations, of which the best checkpoint is kept; 0: only at the end", unit=unit),
        least=0,
        most=MOST_STEPS,
    )


def policy_gate() -> Any:
    """Return the setting for what happens where a policy is not better than the one that it started from."""
    return setting(
        "report",
        "Only a policy that is better than the one it started from is activated. If it is not: stop the round, or "
        "report it and continue with the active version",
    )
