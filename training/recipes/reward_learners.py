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

RIDGES = (10.0, 3.0, 1.0, 0.3, 0.1)  # from the stiffest on: each fit starts where the one before ended
FOLDS = 4  # of prompts, for the choice between them
FEWEST_PROMPTS = 3 * FOLDS  # below it the choice is a matter of chance
USUAL_RIDGE = 0.2


def solve(head: DepthHead, train: list[JudgedSet], weights: Tensor, config: RewardConfig) -> dict[str, float]:
    """Fit a head on fixed states: a convex problem, solved by L-BFGS over all rankings at once.

    `weights` (rankings, heads) are the weights of the rankings for each head. A ridge of 0 is chosen here.
    """
    states = torch.cat([_depths(ranking) for ranking in train])
    head.standardise_on(states)
    features = head.features(states)
    terms, weights = Terms(train, config, features.device), weights.to(features.device)
    ridge = config.ridge or choose_ridge(features, terms, folds_of(train, config.seed))
    fit(head.linear, features, terms, weights, ridge)
    gradient = torch.cat([each.grad.flatten() for each in head.linear.parameters() if each.grad is not None])
    with torch.no_grad():
        loss = terms.losses(head.linear(features), weights).sum() / weights.numel()
    return {"reward/loss": float(loss), "reward/grad_norm": float(gradient.norm()), "reward/ridge": ridge}


def fit(linear: nn.Linear, features: Tensor, terms: Terms, weights: Tensor, ridge: float) -> None:
    """Minimise, for each output, the sum of the rankings' losses + ½ · ridge · ‖w‖², from where the weights are.

    The penalty weighs less the more rankings there are. Shapes: features (n, width), weights (rankings, heads).
    """
    optimiser = torch.optim.LBFGS(
        list(linear.parameters()), max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-6
    )

    def objective() -> Tensor:
        optimiser.zero_grad()
        squares = sum(parameter.square().sum() for parameter in linear.parameters())
        loss = terms.losses(linear(features), weights).sum() + 0.5 * ridge * squares
        loss.backward()
        return loss

    optimiser.step(objective)


def choose_ridge(features: Tensor, terms: Terms, folds: Tensor, ridges: Sequence[float] = RIDGES) -> float:
    """Return the penalty under which heads predict best what was said about prompts that they did not see.

    By the likelihood of all that was said, over folds of prompts; `folds` (rankings,) is the fold of each ranking, none
    where there are too few prompts.
    """
    if len(folds) == 0:
        return USUAL_RIDGE
    held_out = (folds[:, None] == torch.arange(FOLDS)).to(features)  # (rankings, folds): one head per fold
    linear = nn.Linear(features.shape[1], FOLDS, device=features.device)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    losses = []
    for ridge in ridges:
        fit(linear, features, terms, 1 - held_out, ridge)
        with torch.no_grad():
            losses.append(float(terms.losses(linear(features), held_out).sum()))
    return ridges[losses.index(min(losses))]


def folds_of(train: Sequence[JudgedSet], seed: int) -> Tensor:
    """Return the fold of each ranking: all rankings of a prompt are in the same one, drawn at random.

    Of fewer prompts than `FEWEST_PROMPTS` there are no folds.
    """
    prompts = list(dict.fromkeys(tuple(ranking.prompt) for ranking in train))
    if len(prompts) < FEWEST_PROMPTS:
        return torch.empty(0)
    drawn = torch.randperm(len(prompts), generator=generator(seed, "folds")) % FOLDS
    fold_of = dict(zip(prompts, drawn.tolist(), strict=True))
    return torch.tensor([fold_of[tuple(ranking.prompt)] for ranking in train])


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
