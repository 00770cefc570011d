"""What must hold in PPO, as assertions that run in every update, and the reasons to stop before it goes wrong.

An assertion is a bug of ours: the run fails. A reason to stop is a policy whose answers are unlike those that the
reward model was trained on: the run ends well, with the weights from before that update, and says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from training.methods import GRPOConfig, PPOConfig, RLOOConfig
from training.recipes.models.generation import Rollout
from training.recipes.models.shared_model import SharedModel
from training.recipes.process import precision
from training.rundir import Row

# Scoring reads all answers together, a minibatch fewer at once: the two round differently, bfloat16 much more.
RATIO_TOLERANCE_MEAN = {"float32": 1e-4, "bfloat16": 2e-2}
RATIO_TOLERANCE_MAX = {"float32": 2e-3, "bfloat16": 0.5}
NEGATIVE_KL_UPDATES = 3
NEGATIVE_KL_ERRORS = 3.0


@dataclass
class Progress:
    """What a resumed run must know besides the weights. All of it is plain JSON."""

    update: int = 0
    kl_coef: float = 0.0
    negative_kl: int = 0  # updates in a row whose KL was below zero by more than its error explains
    stopped: str | None = None
    start_digest: str = ""
    before: list[Row] = field(default_factory=list)  # evaluated answers of the policy as the round began
    evaluations: list[Row] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


# --- bugs ------------------------------------------------------------------------------------------------------


def check_masks(shared: SharedModel, rollout: Rollout) -> None:
    if shared.pad == shared.closing:
        raise AssertionError("padding and the closing token are the same")
    closing = rollout.answers.response_mask & ~rollout.drawn
    if (rollout.drawn & ~rollout.answers.response_mask).any() or (closing.sum(-1) != (~rollout.finished).long()).any():
        raise AssertionError("drawn tokens and scored tokens do not fit together")
    if rollout.logprobs[~rollout.drawn].any() or (rollout.logprobs > 1e-4).any():
        raise AssertionError("log-probabilities outside the drawn tokens, or above 0")


def check_untrained(policy: Tensor, reference: Tensor) -> None:
    """Raise AssertionError unless a policy that has learned nothing equals its reference to the last bit."""
    if float((policy - reference).abs().max()) != 0:
        raise AssertionError("an untrained policy differs from its reference")


def check_whitened(advantages: Tensor, mask: Tensor) -> None:
    if advantages[~mask].any() or (mask.any() and abs(float(advantages[mask].mean())) > 1e-3):
        raise AssertionError("advantages are not whitened over the drawn tokens")


def check_first_ratio(ratio: Tensor) -> float:
    """Before the first step the policy is the one that sampled and was scored. If not, two of these disagree."""
    mean_off = precision.tolerance(**RATIO_TOLERANCE_MEAN)
    mean, worst = float(ratio.mean()), float((ratio - 1).abs().max())
    if abs(mean - 1) > mean_off or worst > precision.tolerance(**RATIO_TOLERANCE_MAX):
        raise AssertionError(f"ratio {mean:.6f} on the first minibatch, off by up to {worst:.1e}: it must be 1")
    return mean


def check_own_sampler(trainer: Tensor, sampler: Tensor, mask: Tensor) -> None:
    """Raise AssertionError unless sampler and policy agree on log-probabilities up to rounding."""
    check_first_ratio((trainer - sampler)[mask].exp())


def watch_for_negative_kl(progress: Progress, kl: float, error: float) -> None:
    """A KL is never negative; its estimate dips below zero by chance, but not time after time by several errors."""
    progress.negative_kl = progress.negative_kl + 1 if kl < -NEGATIVE_KL_ERRORS * error else 0
    if progress.negative_kl >= NEGATIVE_KL_UPDATES:
        raise AssertionError(f"the KL has been negative for {progress.negative_kl} updates (now {kl:.3f})")


# --- reasons to stop -------------------------------------------------------------------------------------------


def stop_after_sampling(metrics: Mapping[str, float], config: PPOConfig) -> str | None:
    """Return why to stop, judged by the policy's new answers, or None."""
    distinct = metrics["response/distinct_2"]
    if distinct < config.distinct_floor:
        return f"only {distinct:.0%} of the answers' token pairs are distinct, below {config.distinct_floor:.0%}"
    return outside_limits(metrics, config, entropy="ppo/policy/entropy")


def outside_limits(
    metrics: Mapping[str, float], config: PPOConfig | RLOOConfig | GRPOConfig, *, entropy: str
) -> str | None:
    """Return why to stop where the policy's answers are no longer like those that people ranked; `entropy` is a name.

    The reward model knows answers near the reference only: beyond these limits its score says nothing.
    """
    kl, entropy_now, length = (metrics[name] for name in ("objective/kl", entropy, "response/length"))
    if kl > config.kl_limit:
        return f"KL of {kl:.1f} nats exceeded the limit of {config.kl_limit:g}"
    if 0 < config.kl_limit_per_token < kl / max(length, 1.0):
        per_token = f"KL of {kl / max(length, 1.0):.3f} nats per token"
        return f"{per_token} exceeded the limit of {config.kl_limit_per_token:g}"
    if entropy_now < config.entropy_floor:
        return f"the entropy fell to {entropy_now:.3f} nats per token, below {config.entropy_floor:g}"
    if length < config.length_floor:
        return f"answers shrank to {length:.1f} tokens, below {config.length_floor:g}"
    return None


def stop_after_learning(metrics: Mapping[str, float], config: PPOConfig) -> str | None:
    """Return why to stop where this update moved the policy too far from the one that sampled, or None."""
    clipfrac, ratio = metrics["ppo/policy/clipfrac"], metrics["ppo/ratio_max"]
    if clipfrac > config.clipfrac_limit:
        return f"{clipfrac:.0%} of the tokens were clipped, above {config.clipfrac_limit:.0%}"
    if ratio > config.ratio_limit:
        return f"the mean ratio of a minibatch reached {ratio:.3g}, above {config.ratio_limit:g}"
    return None


def distinct_pairs(response: Tensor, drawn: Tensor) -> Tensor:
    """Return the share of distinct pairs of neighbouring tokens (1 for shorter answers): (b, t) each → (b,)."""
    shares = []
    for ids, mask in zip(response, drawn, strict=True):
        tokens = ids[mask].tolist()
        pairs = list(pairwise(tokens))
        shares.append(len(set(pairs)) / len(pairs) if pairs else 1.0)
    return torch.tensor(shares)
