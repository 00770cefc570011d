"""How the reward model learns from rankings: its heads in one step, an adapter in passes over all rankings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.methods import RewardConfig
from training.recipes.models.rankings import JudgedSet, collate
from training.recipes.models.reward_model import DepthHead, RewardModel
from training.recipes.process.memory import MicroBatches
from training.recipes.process.seeds import generator
from training.recipes.reward_losses import Terms, rankings_loss


def solve(head: DepthHead, train: list[JudgedSet], weights: Tensor, config: RewardConfig) -> dict[str, float]:
    """Fit a head on fixed states: a convex problem, solved by L-BFGS over all rankings at once.

    The penalty is ½ · ridge · ‖w‖² against the sum of the rankings' losses, so it weighs less the more there are.
    `weights` (rankings, heads) are the weights of the rankings for each head.
    """
    states = torch.cat([_depths(ranking) for ranking in train])
    head.standardise_on(states)
    features = head.features(states)
    terms, weights = Terms(train, config, features.device), weights.to(features.device)
    parameters = list(head.linear.parameters())
    optimiser = torch.optim.LBFGS(parameters, max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-6)

    def objective() -> Tensor:
        optimiser.zero_grad()
        penalty = 0.5 * config.ridge * head.linear.weight.square().sum()
        loss = terms.loss(head.linear(features), weights) * weights.numel() + penalty
        loss.backward()
        return loss

    optimiser.step(objective)
    with torch.no_grad():
        loss = terms.loss(head.linear(features), weights)
    gradient = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
    return {"reward/loss": float(loss), "reward/grad_norm": float(gradient.norm())}


class HeadLearner:
    """Heads on states that do not change, in one step."""

    steps = steps_per_epoch = passes = 1
    optimiser = None

    def __init__(self, model: RewardModel, train: list[JudgedSet], config: RewardConfig) -> None:
        self.model, self.train, self.config = model, train, config
        self.head_weights = bootstrap_weights(len(train), model.head.out_features, generator(config.seed, "heads"))

    def take_step(self, _: int) -> dict[str, float]:
        """Take an optimiser step, counted from 1, and return the metrics from before it."""
        assert self.model.depth_head is not None
        return solve(self.model.depth_head, self.train, self.head_weights, self.config)


def _depths(ranking: JudgedSet) -> Tensor:
    assert ranking.depths is not None
    return ranking.depths


class Learner:
    """Adapter and heads on their way through the rankings. Which ones a step takes depends on seed and step number."""

    def __init__(self, model: RewardModel, train: list[JudgedSet], config: RewardConfig) -> None:
        self.model, self.train, self.config = model, train, config
        self.passes = config.epochs
        self.memory = MicroBatches(config.micro_batch, "rankings")
        if config.checkpointing:
            model.shared.blocks.checkpoint()
        self.steps_per_epoch = -(-len(train) // config.rankings_per_step)
        self.steps = self.steps_per_epoch * config.epochs
        self.head_weights = bootstrap_weights(len(train), model.head.out_features, generator(config.seed, "heads"))
        groups = [
            {"params": model.shared.adapters.learn(model.role), "peak": config.learning_rate},
            {"params": model.head_parameters(), "peak": config.learning_rate * config.head_learning_rate_factor},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, eps=1e-5, weight_decay=config.weight_decay)

    def take_step(self, step: int) -> dict[str, float]:
        """Step numbers count from 1. The metrics are those before the step."""
        epoch, place = divmod(step - 1, self.steps_per_epoch)
        order = torch.randperm(len(self.train), generator=generator(self.config.seed, "order", epoch))
        chosen = order[place * self.config.rankings_per_step :][: self.config.rankings_per_step]
        share = 1 - (step - 1) / self.steps
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * share

        def add(part: Sequence[int]) -> Tensor:
            some = [self.train[index] for index in part]
            raw = self.model.raw_scoring(collate(some, self.model.shared))
            weights = self.head_weights[list(part)].to(raw.device)
            loss = rankings_loss(raw, some, weights, self.config) * (len(part) / len(chosen))
            loss.backward()
            return loss.detach()

        self.optimiser.zero_grad()
        loss = self.memory.run(chosen.tolist(), add, self.optimiser.zero_grad)
        assert loss is not None
        parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimiser.step()
        rate = float(self.optimiser.param_groups[0]["lr"])
        return {"reward/loss": float(loss), "reward/lr": rate, "reward/grad_norm": float(norm)}


def learner_for(model: RewardModel, train: list[JudgedSet], config: RewardConfig) -> Learner | HeadLearner:
    return (Learner if model.has_adapter else HeadLearner)(model, train, config)


def bootstrap_weights(rankings: int, heads: int, random: torch.Generator) -> Tensor:
    """Return how often each head sees each ranking: the first once, the others by Poisson(1), as a bootstrap."""
    weights = torch.poisson(torch.ones(rankings, heads), generator=random)
    weights[:, 0] = 1
    return torch.where(weights.sum(0) > 0, weights, torch.ones_like(weights))
