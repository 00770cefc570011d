"""The losses of a reward model over whole rankings, each a mean over the ranking's terms, from one set of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from training.methods import RewardConfig
from training.recipes.losses.preference_losses import Pick, Picks, bradley_terry, picks_of
from training.recipes.models.rankings import JudgedSet


class Terms:
    """All that was said in some rankings as tensors: weights of terms, and the ranking that each one belongs to.

    Scores are those of all candidates in a row, (candidates, heads), the ranking's own from `starts` on. By default
    there is nothing between the rankings.
    """

    def __init__(
        self,
        rankings: Sequence[JudgedSet],
        config: RewardConfig,
        device: torch.device,
        starts: Sequence[int] | None = None,
    ) -> None:
        if starts is None:
            starts = list(accumulate((len(ranking.candidates) for ranking in rankings), initial=0))[:-1]
        self.by_picks = config.loss == "plackett_luce"
        of: list[int] = []
        weights: list[float] = []
        if self.by_picks:
            picks = []
            for place, (ranking, start) in enumerate(zip(rankings, starts, strict=True)):
                for pick, weight in _weighted_picks(ranking):
                    picks.append(_moved(pick, start))
                    of.append(place)
                    weights.append(weight)
            self.picks = Picks(picks, device)
        else:
            first, second, shares, margins = [], [], [], []
            for place, (ranking, start) in enumerate(zip(rankings, starts, strict=True)):
                for pair in ranking.pairs:
                    first.append(start + pair.first)
                    second.append(start + pair.second)
                    shares.append(pair.share)
                    margins.append(config.margin * pair.margin)
                    of.append(place)
                    weights.append(ranking.weight / len(ranking.pairs))
            self.first, self.second = torch.tensor(first, device=device), torch.tensor(second, device=device)
            self.share, self.margin = _column(shares, device), _column(margins, device)
        self.of, self.weight = torch.tensor(of, device=device), _column(weights, device)

    def loss(self, scores: Tensor, head_weights: Tensor) -> Tensor:
        """Return the mean over rankings and heads. Shapes: scores (candidates, heads), weights (rankings, heads)."""
        if self.by_picks:
            losses = self.picks.losses(scores)
        else:
            losses = bradley_terry(scores[self.first] - scores[self.second], self.share, self.margin)
        return (losses * self.weight * head_weights[self.of]).sum() / head_weights.numel()


def rankings_loss(raw: Tensor, rankings: Sequence[JudgedSet], head_weights: Tensor, config: RewardConfig) -> Tensor:
    """Return the mean over rankings and heads. Shapes: raw (rankings, candidates, heads), weights (rankings, heads)."""
    starts = range(0, raw.shape[0] * raw.shape[1], raw.shape[1])
    return Terms(rankings, config, raw.device, starts).loss(raw.flatten(0, 1), head_weights)


def _weighted_picks(ranking: JudgedSet) -> list[tuple[Pick, float]]:
    """Return the draws of each person's order with their weights: a mean over people, by the weight of each."""
    votes = [vote for vote in ranking.votes if vote.weight > 0 and sum(map(len, vote.tiers)) > 1]
    total = sum(vote.weight for vote in votes)
    found = []
    for vote in votes:
        picks = picks_of(vote.tiers, is_partial=bool(vote.unranked))
        found += [(pick, ranking.weight * vote.weight / total / len(picks)) for pick in picks]
    return found


def _moved(pick: Pick, start: int) -> Pick:
    """Return a draw whose candidates are counted from `start` on."""
    tied, left = ([start + index for index in indices] for indices in (pick.tied, pick.left))
    return Pick(start + pick.chosen, tied, left, pick.gone)


def _column(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device)[:, None]
