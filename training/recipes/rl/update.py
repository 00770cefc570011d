"""One PPO update's learning: passes over the batch in minibatches with the clipped objective."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from training.methods import PPOConfig
from training.recipes.losses.rl_math import masked_mean, policy_loss, value_loss
from training.recipes.process.distributed import Processes
from training.recipes.process.memory import MicroBatches
from training.recipes.process.seeds import generator
from training.recipes.rl.episodes import Batch
from training.recipes.rl.guards import check_first_ratio
from training.recipes.rl.policy import Policy

SUMMED = ("policy", "value", "clipfrac", "approxkl", "ratio")  # of a minibatch, over all processes


def learn(
    policy: Policy,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    tokens: Tensor,
    rate: float,
    update: int,
    config: PPOConfig,
    processes: Processes,
    memory: MicroBatches | None = None,
) -> dict[str, float]:
    """Pass over the batch several times in minibatches of whole groups; return the means of the metrics over all.

    `tokens` has the number of drawn tokens of every group of the whole batch, those of other processes included.
    """
    for group in optimiser.param_groups:
        group["lr"] = rate
    trained = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    first, count = processes.share(len(tokens))
    memory = memory or groups_at_once(config)
    history: list[Tensor] = []  # SUMMED, and the gradient's norm
    for epoch in range(config.ppo_epochs):
        for groups in minibatches(len(tokens), config, update, epoch):
            own = groups[(groups >= first) & (groups < first + count)] - first
            optimiser.zero_grad()
            sums = add_gradients(policy, batch, own, int(tokens[groups].sum()), config, memory, check=not history)
            for parameter in trained:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            processes.add_up([sums, *(parameter.grad for parameter in trained)])
            norm = nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
            optimiser.step()
            history.append(torch.cat([sums, norm.detach()[None]]))
    table = torch.stack(history).cpu()
    means = dict(zip((*SUMMED, "norm"), table.mean(0).tolist(), strict=True))
    return {
        "ppo/loss/policy": means["policy"],
        "ppo/loss/value": means["value"],
        "ppo/loss/total": means["policy"] + config.value_coef * means["value"],
        "ppo/policy/clipfrac": means["clipfrac"],
        "ppo/policy/approxkl": means["approxkl"],
        "ppo/grad_norm": means["norm"],
        "ppo/ratio_first_minibatch": float(table[0, 4]),
        "ppo/ratio_max": float(table[:, 4].max()),
    }


def add_gradients(
    policy: Policy, batch: Batch, own: Tensor, tokens: int, config: PPOConfig, memory: MicroBatches, *, check: bool
) -> Tensor:
    """Add the gradients of this process's share of a minibatch; return SUMMED on the model's device, 0 without rows.

    `own` are the numbers of the share's groups, `tokens` the number of drawn tokens of the whole minibatch.
    """

    def add(groups: Sequence[int]) -> Tensor:
        part = batch.select(torch.tensor(groups))
        losses = minibatch_loss(policy, part, config, tokens)
        if check:
            check_first_ratio(losses["ratios"][part.mask.flatten(0, 1)])
        losses["loss"].backward()
        return torch.stack([losses[name].detach() for name in SUMMED])

    def start_again() -> None:
        for parameter in (*policy.parameters, *policy.value_head.parameters()):
            parameter.grad = None

    sums = memory.run(own.tolist(), add, start_again)
    return torch.zeros(len(SUMMED), device=batch.mask.device) if sums is None else sums


def groups_at_once(config: PPOConfig) -> MicroBatches:
    """Return how many groups, the answers to one prompt each, are learned from at once."""
    return MicroBatches(-(-config.micro_batch // config.completions_per_prompt), "groups of answers")


def minibatches(groups: int, config: PPOConfig, update: int, epoch: int) -> Iterator[Tensor]:
    order = torch.randperm(groups, generator=generator(config.seed, "minibatches", update, epoch))
    yield from order.split(config.minibatch_size // config.completions_per_prompt)


def minibatch_loss(policy: Policy, part: Batch, config: PPOConfig, tokens: int) -> dict[str, Tensor]:
    """Return the loss of a part of a minibatch with `tokens` tokens in all, so that parts add up to its mean."""
    reading = policy.read(part.answers)
    logprobs = policy.actor.logprobs(reading, part.answers, part.mask, config.temperature)
    values = policy.values(part.answers, reading.before)
    mask = part.mask.flatten(0, 1)
    outcome = policy_loss(
        logprobs.flatten(0, 1),
        part.old_logprobs.flatten(0, 1),
        part.advantages.flatten(0, 1),
        mask,
        config.clip_range,
        tokens,
        part.weights.flatten(0, 1),
    )
    squared = value_loss(
        values.flatten(0, 1),
        part.old_values.flatten(0, 1),
        part.returns.flatten(0, 1),
        mask,
        config.value_clip_range,
        tokens,
    )
    return {
        "loss": outcome.loss + config.value_coef * squared,
        "policy": outcome.loss,
        "value": squared,
        "clipfrac": outcome.clipfrac,
        "approxkl": outcome.approxkl,
        "ratio": masked_mean(outcome.ratio, mask, tokens),
        "ratios": outcome.ratio,
    }
