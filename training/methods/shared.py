"""Settings that several methods have, each defined once.

A method names them in its own dataclass, so that its order of fields is its own; each call returns a new field.
"""

from __future__ import annotations

from typing import Any

from training.methods.settings import setting


# Of most methods.
def seed() -> Any:
    return setting(0, "Seed of the random generator", least=0)


def max_prompt_tokens() -> Any:
    return setting(512, "Longer prompts are refused and counted", least=1, most=1_000_000)


def lora_rank() -> Any:
    return setting(16, "Rank of the adapter", least=1, most=1024)


def top_blocks() -> Any:
    return setting(6, "Transformer blocks, from the top, that carry the adapter", least=1, most=1000)


# Of policy gradient methods: they learn from answers that they draw.
def episodes() -> Any:
    return setting(640, "Completions sampled and learned from in all", least=1)


def answer_length() -> Any:
    return setting(24, "Length at which a completion is cut", least=1, most=4096)


def sampling_temperature() -> Any:
    return setting(0.9, "Sampling temperature; log-probabilities are taken at the same one", least=0.01, most=5)


def policy_gradient_rate() -> Any:
    return setting(6e-4, "Peak rate of AdamW; linear decay to 0", least=0, most=1)


def kl_limit() -> Any:
    return setting(10.0, "Stop when the KL to the reference exceeds this many nats per completion", least=0, most=10000)


def max_grad_norm() -> Any:
    return setting(1.0, "Gradient norm above which it is scaled down", least=0, most=1000)


def entropy_floor() -> Any:
    return setting(0.05, "Stop when the policy's entropy falls below this many nats per token", least=0, most=100)


def length_floor() -> Any:
    return setting(1.5, "Stop when answers are shorter than this many tokens", least=0, most=4096)


def save_every_updates() -> Any:
    return setting(1, "Updates between resumable states", least=1)


def batch_errors(*, episodes: int, batch_size: int, minibatch_size: int) -> dict[str, str]:
    """Return what is wrong with these three sizes, by setting; nothing where they fit each other."""
    errors = {}
    if batch_size % minibatch_size:
        errors["minibatch_size"] = f"should divide batch_size ({batch_size}), not {minibatch_size}"
    if episodes < batch_size:
        errors["episodes"] = f"should be at least batch_size ({batch_size}), not {episodes}"
    return errors


# Of methods that learn from given answers, and draw some to eval prompts before and after.
def max_length() -> Any:
    return setting(512, "Tokens of prompt and answer; longer ones are refused and counted", least=8, most=1_000_000)


def eval_answer_length() -> Any:
    return setting(24, "Length at which answers to eval prompts are cut", least=1, most=4096)


def eval_temperature() -> Any:
    return setting(0.9, "Temperature of those answers", least=0.01, most=5)


def eval_completions() -> Any:
    return setting(4, "Answers per eval prompt, before and after", least=1, most=64)


def save_every_steps() -> Any:
    return setting(10, "Steps between resumable states", least=1)


def micro_batch(unit: str) -> Any:
    """Return the setting that parts an optimiser step; `unit` is what it counts."""
    return setting(
        0, f"{unit} in memory at once within an optimiser step; 0: all of them, halved where memory runs out", least=0
    )


def checkpointing() -> Any:
    """Return the setting that trades time for memory in the backward pass."""
    return setting(False, "Compute activations anew in the backward pass: less memory, about a third more time")


def eval_every(default: int, unit: str) -> Any:
    """Return the setting for how often a policy is evaluated while it learns; `unit` is what is counted."""
    return setting(
        default, f"{unit} between evaluations, of which the best checkpoint is kept; 0: only at the end", least=0
    )


def policy_gate() -> Any:
    """Return the setting for what happens where a policy is not better than the one that it started from."""
    return setting(
        "report",
        "Only a policy that is better than the one it started from is put into use. Where it is not: stop the round, "
        "or report it and go on with the version in use",
    )
