"""The losses of a reward model over whole rankings, each a mean over the ranking's terms, from one set of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from training.methods import RewardConfig
from training.recipes.losses.preference_losses import Pick, Picks, bradley_terry, picks_of
from training.recipes.models.rankings import JudgedSet

LINE = -1  # the place of the line's score: the row after those of all candidates


class Term(NamedTuple):
    """Two candidates, or a candidate and the line: `share` of the votes put the first above the second."""

    first: int
    second: int
    share: float
    margin: float


class Terms:
    """All that was said in some rankings as tensors, so that their loss is one computation.

    Scores are those of all candidates in a row, (candidates, heads), a ranking's own from its place in `starts` on; by
    default nothing lies between the rankings. The line that people draw above unacceptable responses is one candidate
    more in each of their rankings, whose score is 0 everywhere: so the bias of a head learns where the line is. A
    response that is called good or bad by itself has this one term, the logistic loss of its score above the line.
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
        self.picks: Picks | None = None
        if config.loss == "plackett_luce":
            found = [_weighted_picks(ranking, start, config) for ranking, start in zip(rankings, starts, strict=True)]
            self.picks = Picks([pick for picks in found for pick, _ in picks], device)
            weights = [[weight for _, weight in picks] for picks in found]
        else:
            terms = [_pair_terms(ranking, start, config) for ranking, start in zip(rankings, starts, strict=True)]
            weights = [
                [ranking.weight / ranking.terms] * len(own) for ranking, own in zip(rankings, terms, strict=True)
            ]
            flat = [term for own in terms for term in own]
            self.first, self.second = (
                torch.tensor([term[place] for term in flat], dtype=torch.long, device=device) for place in (0, 1)
            )
            self.share, self.margin = (
                torch.tensor([term[place] for term in flat], device=device)[:, None] for place in (2, 3)
            )
        self.of = torch.tensor(
            [place for place, own in enumerate(weights) for _ in own], dtype=torch.long, device=device
        )
        self.weight = torch.tensor([weight for own in weights for weight in own], device=device)[:, None]

    def losses(self, scores: Tensor, head_weights: Tensor) -> Tensor:
        """Return each head's sum over rankings. Shapes: scores (candidates, heads), weights (rankings, heads)."""
        scores = functional.pad(scores, (0, 0, 0, 1))  # the line
        if self.picks is not None:
            losses = self.picks.losses(scores)
        else:
            losses = bradley_terry(scores[self.first] - scores[self.second], self.share, self.margin)
        return (losses * self.weight * head_weights[self.of]).sum(0)


def rankings_loss(raw: Tensor, rankings: Sequence[JudgedSet], head_weights: Tensor, config: RewardConfig) -> Tensor:
    """Return the mean over rankings and heads. Shapes: raw (rankings, candidates, heads), weights (rankings, heads)."""
    starts = range(0, raw.shape[0] * raw.shape[1], raw.shape[1])
    losses = Terms(rankings, config, raw.device, starts).losses(raw.flatten(0, 1), head_weights)
    return losses.sum() / head_weights.numel()


def _pair_terms(ranking: JudgedSet, start: int, config: RewardConfig) -> list[Term]:
    """Return the pairs of a ranking, and its candidates beside the line."""
    pairs = [
        Term(start + pair.first, start + pair.second, pair.share, config.margin * pair.margin) for pair in ranking.pairs
    ]
    lines = [Term(start + line.candidate, LINE, line.share, 0.0) for line in ranking.lines] if config.line else []
    return pairs + lines


def _weighted_picks(ranking: JudgedSet, start: int, config: RewardConfig) -> list[tuple[Pick, float]]:
    """Return the draws of each person's order with their weights: a mean over people, by the weight of each."""
    alone = config.line and len(ranking.candidates) == 1  # beside the line it is an order of two
    votes = [vote for vote in ranking.votes if vote.weight > 0 and (alone or sum(map(len, vote.tiers)) > 1)]
    total = sum(vote.weight for vote in votes)
    found = []
    for vote in votes:
        tiers = [[start + index for index in tier] for tier in vote.tiers]
        if config.line and (place := vote.line_place()) is not None:
            tiers.insert(place, [LINE])
        picks = picks_of(tiers, is_partial=bool(vote.unranked))
        found += [(pick, ranking.weight * vote.weight / total / len(picks)) for pick in picks]
    return found
