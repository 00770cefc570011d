"""The losses of a reward model over whole rankings, each a mean over the ranking's terms."""

from __future__ import annotations

import torch
from torch import Tensor

from training.methods import RewardConfig
from training.recipes.losses.preference_losses import bradley_terry, plackett_luce
from training.recipes.models.rankings import JudgedSet


def rankings_loss(
    raw: Tensor | list[Tensor], rankings: list[JudgedSet], head_weights: Tensor, config: RewardConfig
) -> Tensor:
    """Return the mean over rankings and heads. Shapes: raw (rankings, candidates, heads), weights (rankings, heads)."""
    loss_of = plackett_luce_loss if config.loss == "plackett_luce" else bradley_terry_loss
    losses = [
        ranking.weight * weights * loss_of(scores, ranking, config)
        for scores, ranking, weights in zip(raw, rankings, head_weights, strict=True)
    ]
    return torch.stack(losses).mean()


def bradley_terry_loss(scores: Tensor, ranking: JudgedSet, config: RewardConfig) -> Tensor:
    """Return the loss of a ranking's pairs. Shapes: (candidates, heads) → (heads,)."""
    first, second, share, margin = zip(*ranking.pairs, strict=True)
    difference = scores[list(first)] - scores[list(second)]
    shares, margins = scores.new_tensor(share)[:, None], scores.new_tensor(margin)[:, None]
    return bradley_terry(difference, shares, config.margin * margins).mean(0)


def plackett_luce_loss(scores: Tensor, ranking: JudgedSet, config: RewardConfig) -> Tensor:
    """Return the mean over people, by their weight. Shapes: (candidates, heads) → (heads,)."""
    votes = [vote for vote in ranking.votes if vote.weight > 0 and sum(map(len, vote.tiers)) > 1]
    total = sum(vote.weight for vote in votes)
    return torch.stack(
        [vote.weight / total * plackett_luce(scores, vote.tiers, is_partial=bool(vote.unranked)) for vote in votes]
    ).sum(0)
