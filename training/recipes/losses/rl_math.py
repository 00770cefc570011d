"""The arithmetic of reward modelling and PPO: tensors in, tensors out, nothing remembered.

Shapes: b completions, t response tokens. Masks are bool and True where a token is real. Log-probabilities, entropies
and KL are in nats. Papers: PPO 1707.06347, GAE 1506.02438, Ziegler et al. 1909.08593 (KL penalty and its adaptive
coefficient), InstructGPT 2203.02155 (loss per ranking), "N implementation details" (Huang et al. 2403.17031).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class _TokenLogprobs(torch.autograd.Function):
    """Log softmax at the chosen tokens, with a backward pass that writes one vocabulary-wide tensor, not four."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, tokens: Tensor, temperature: float) -> Tensor:
        scaled = logits.float() / temperature
        total = torch.logsumexp(scaled, dim=-1, keepdim=True)
        ctx.save_for_backward(scaled, total, tokens)
        ctx.temperature = temperature
        return (scaled.gather(-1, tokens[..., None]) - total)[..., 0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        scaled, total, tokens = ctx.saved_tensors
        gradient = gradient[..., None] / ctx.temperature
        return (scaled - total).exp_().mul_(-gradient).scatter_add_(-1, tokens[..., None], gradient), None, None


def token_logprobs(logits: Tensor, tokens: Tensor, temperature: float) -> Tensor:
    """Return log p(token) under softmax(logits / temperature).

    Every log-probability in PPO is taken at the temperature that sampled the tokens, the reference's too; otherwise
    the ratio does not start at 1 and the KL is between two models that nobody samples from.

    Shapes: logits (..., vocabulary), tokens (...) → (...).
    """
    return _TokenLogprobs.apply(logits, tokens, temperature)


POSITIONS_AT_ONCE = 256  # × vocabulary floats: small enough to stay in reach of the cache, large enough for the product


class _HeadLogprobs(torch.autograd.Function):
    """The language model's head and log softmax at the chosen tokens in one, without ever holding all logits.

    The gradient by a hidden state is g · (w_token − Σ_v p_v w_v) / temperature: only the factor g is unknown before the
    backward pass, so all else is computed while the logits of a portion are at hand, and one vector per token is kept.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float) -> Tensor:
        logprobs, directions = [], []
        for states, chosen in zip(hidden.split(POSITIONS_AT_ONCE), tokens.split(POSITIONS_AT_ONCE), strict=True):
            logits = ((states / temperature) @ weight.T).float()
            value, top = logits.gather(-1, chosen[:, None]), logits.amax(-1, keepdim=True)
            powers = logits.sub_(top).exp_()
            total = powers.sum(-1, keepdim=True)
            logprobs.append((value - top - total.log())[:, 0])
            if ctx.needs_input_grad[0]:
                directions.append(
                    (weight[chosen].float() - (powers.to(weight.dtype) @ weight).float() / total) / temperature
                )
        if directions:
            ctx.save_for_backward(torch.cat(directions).to(hidden.dtype))
        return torch.cat(logprobs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (directions,) = ctx.saved_tensors
        return (gradient[:, None] * directions).to(directions.dtype), None, None, None


def head_logprobs(hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float) -> Tensor:
    """Return `token_logprobs(hidden @ weight.T, tokens, temperature)` for a frozen weight, in a fraction of the memory.

    Shapes: hidden (n, d), weight (vocabulary, d), tokens (n,) → (n,).
    """
    if weight.requires_grad and torch.is_grad_enabled():
        raise ValueError("the weight would receive no gradient: use token_logprobs")
    return _HeadLogprobs.apply(hidden, weight, tokens, temperature)


def masked_mean(values: Tensor, mask: Tensor, tokens: int | None = None) -> Tensor:
    """Return the mean over the real tokens of all completions: a long completion weighs more. Shapes: (b, t) → ().

    `tokens` is their number where these rows are only a part of what the mean goes over: the parts' results add up.
    """
    count = mask.sum().clamp(min=1) if tokens is None else tokens
    return values.masked_fill(~mask, 0.0).sum() / count


def masked_whiten(values: Tensor, mask: Tensor, *, shift_mean: bool = True) -> Tensor:
    """Return values scaled to variance 1, and to mean 0 unless `shift_mean` is False, as for rewards.

    The variance is the biased one (divided by n), as in the original TensorFlow code. Masked places become 0.
    Shapes: (b, t) → (b, t).
    """
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean) ** 2, mask)
    whitened = (values - mean) * torch.rsqrt(variance + 1e-8)
    if not shift_mean:
        whitened = whitened + mean
    return whitened.masked_fill(~mask, 0.0)


def sequence_kl(logprobs: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Return the k1 estimate of KL(policy ‖ reference) per completion in nats: Σ_t log p − log ρ over its tokens.

    Unbiased over samples of the policy; a single completion's value may well be negative. Shapes: (b, t) → (b,).
    """
    return (logprobs - reference).masked_fill(~mask, 0.0).sum(-1)


def penalised_rewards(score: Tensor, logprobs: Tensor, reference: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """Return the reward of every token: −β (log p − log ρ), plus the completion's score at its last real token.

    Never on the padding after it: from there it would reach the last token already discounted by λ (Ziegler).
    Shapes: score (b,), others (b, t) → (b, t).
    """
    rewards = -kl_coef * (logprobs - reference).masked_fill(~mask, 0.0)
    last = mask.sum(-1, keepdim=True) - 1
    return rewards.scatter_add(-1, last, score[:, None].to(rewards.dtype))


def gae(rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Return generalised advantage estimates and the value head's targets (advantage + old value).

    values[t] is the estimate before token t was drawn; after the last real token the episode is over and worth 0.
    Shapes: (b, t) each → advantages (b, t), returns (b, t), 0 on padding.
    """
    rewards, values = rewards.masked_fill(~mask, 0.0), values.masked_fill(~mask, 0.0)
    advantages = torch.zeros_like(rewards)
    running = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        next_value = values[:, t + 1] if t + 1 < rewards.shape[1] else torch.zeros_like(running)
        surprise = rewards[:, t] + gamma * next_value - values[:, t]
        running = (surprise + gamma * lam * running) * mask[:, t]
        advantages[:, t] = running
    return advantages, advantages + values


class PolicyLoss(NamedTuple):
    loss: Tensor  # (), the only one with gradients
    clipfrac: Tensor  # () share of tokens whose clipped term was the larger one
    approxkl: Tensor  # () ½ E[(log new − log old)²], nats per token
    ratio: Tensor  # (b, t), 1 on padding


def policy_loss(
    new: Tensor,
    old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip_range: float,
    tokens: int | None = None,
    weights: Tensor | None = None,
) -> PolicyLoss:
    """Return PPO's clipped objective, negated: E[max(−A·r, −A·clip(r, 1−ε, 1+ε))], r = p_new / p_old per token.

    Shapes: (b, t) each. `tokens` as in masked_mean; `weights` are those of tokens that another policy drew.
    """
    difference = (new - old).masked_fill(~mask, 0.0)
    ratio = difference.exp()
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip_range, 1 + clip_range)
    worse = torch.maximum(plain, clipped)
    return PolicyLoss(
        loss=masked_mean(worse if weights is None else weights * worse, mask, tokens),
        clipfrac=masked_mean((clipped > plain).float(), mask, tokens),
        approxkl=0.5 * masked_mean(difference.detach() ** 2, mask, tokens),
        ratio=ratio.detach(),
    )


def value_loss(
    new: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip_range: float, tokens: int | None = None
) -> Tensor:
    """Return ½ E[max((V − R)², (clip(V, V_old ± range) − R)²)]. Shapes: (b, t) each → ()."""
    clipped = torch.clamp(new, old - clip_range, old + clip_range)
    worse = torch.maximum((new - returns) ** 2, (clipped - returns) ** 2)
    return 0.5 * masked_mean(worse, mask, tokens)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """Return 1 − E[(R − V)²] / Var(R), as lm-human-preferences defines it. Shapes: (b, t) → ().

    1 is a perfect value model, 0 one that knows only the mean; it is below 0 where the mean is wrong as well.
    """
    real_returns, errors = returns[mask], (returns - values)[mask]
    return 1 - errors.square().mean() / real_returns.var(unbiased=False).clamp(min=1e-8)


def adapted_kl_coef(coef: float, kl: float, *, target: float, episodes: int, horizon: float) -> float:
    """Return the coefficient of the adaptive controller: β · (1 + clip(KL/target − 1, ±0.2) · episodes / horizon).

    KL is in nats per completion (mean over completions of the sum over tokens), the horizon in episodes.
    """
    if target <= 0 or horizon <= 0:
        raise ValueError(f"target and horizon should be positive, not {target} and {horizon}")
    error = min(max(kl / target - 1, -0.2), 0.2)
    return coef * (1 + error * episodes / horizon)
