"""Losses over what people said about one set of candidates: pairs with soft labels, or whole rankings with ties.

Every loss is a mean over the terms of one ranking, so a ranking counts once however many candidates it has
(InstructGPT 2203.02155: all pairs of a ranking in one step, weighted 1/C(K,2)). Scores and losses in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


def bradley_terry(difference: Tensor, share: Tensor, margin: Tensor | None = None) -> Tensor:
    """Return −p log σ(d − m) − (1 − p) log σ(−d − m), the loss of each pair; d is first score minus second.

    `share` p is the part of the votes that put the first above the second: 1 where all agree, ½ for a tie or an even
    split, which pulls the two scores together instead of inventing an order. `margin` m asks for that much distance in
    the direction of the majority (Llama 2, 2307.09288) and is ignored where there is none. Shapes: (pairs, …) each.
    """
    wanted = 0.0 if margin is None else margin * torch.sign(2 * share - 1)
    return -share * functional.logsigmoid(difference - wanted) - (1 - share) * functional.logsigmoid(
        wanted - difference
    )


class Pick(NamedTuple):
    """One candidate that is drawn from those left; `gone` is the part of its tie that was drawn before it."""

    chosen: int
    tied: list[int]
    left: list[int]
    gone: float


def picks_of(tiers: Sequence[Sequence[int]], *, is_partial: bool = False) -> list[Pick]:
    """Return what a ranking says as one draw after the other; tiers best first, of indices of candidates.

    The last candidate alone is drawn for certain and left out. `is_partial`: the last tier got no place, so nothing is
    drawn from it.
    """
    ranked = [list(tier) for tier in tiers if tier]
    left = [index for tier in ranked for index in tier]
    picks = []
    for tier in ranked[:-1] if is_partial else ranked:
        picks += [Pick(chosen, tier, left, place / len(tier)) for place, chosen in enumerate(tier) if len(left) > 1]
        left = left[len(tier) :]
    return picks


class Picks:
    """Draws of many rankings as tensors, so that their losses are one computation."""

    def __init__(self, picks: Sequence[Pick], device: torch.device | None = None) -> None:
        widest = max((len(pick.left) for pick in picks), default=1)
        self.chosen = torch.tensor([pick.chosen for pick in picks], dtype=torch.long, device=device)
        self.gone = torch.tensor([pick.gone for pick in picks], device=device)
        self.left, self.is_left = _padded([pick.left for pick in picks], widest, device)
        self.tied, self.is_tied = _padded([pick.tied for pick in picks], widest, device)

    def losses(self, scores: Tensor) -> Tensor:
        """Return the negative log-likelihood of each draw. Shapes: (candidates, …) → (draws, …)."""
        remaining = _logsumexp(scores[self.left], self.is_left)
        tied = _logsumexp(scores[self.tied], self.is_tied)
        gone = self.gone.view(-1, *[1] * (scores.dim() - 1))
        # log(Σ_left − gone · Σ_tied), taken apart from the larger sum for the sake of large scores.
        return remaining + torch.log1p(-gone * torch.exp(tied - remaining)) - scores[self.chosen]


def plackett_luce(scores: Tensor, tiers: Sequence[Sequence[int]], *, is_partial: bool = False) -> Tensor:
    """Return the negative log-likelihood of a ranking with ties, per candidate that is chosen before the last.

    Candidates are drawn one after the other, each with probability softmax over those that are left; for a tie of m
    Efron's approximation (1977) takes the average over the orders in which the m may have been drawn: the l-th of them
    is drawn from what is left with l/m of the tie gone. A first tier of one gives Ziegler's best-of-N cross-entropy as
    the first term. Shapes: (candidates, …), tiers best first as indices → (…).
    """
    picks = picks_of(tiers, is_partial=is_partial)
    return Picks(picks, scores.device).losses(scores).sum(0) / max(len(picks), 1)


def _padded(rows: Sequence[Sequence[int]], width: int, device: torch.device | None) -> tuple[Tensor, Tensor]:
    """Return rows of indices as one tensor and which of its places are taken; the others hold 0."""
    filled = [[*row, *[0] * (width - len(row))] for row in rows]
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long, device=device)
    indices = torch.tensor(filled, dtype=torch.long, device=device).view(-1, width)
    return indices, torch.arange(width, device=device) < lengths[:, None]


def _logsumexp(scores: Tensor, mask: Tensor) -> Tensor:
    """Return the log of the sum of exponentials over dimension 1, of the marked places."""
    outside = ~mask.view(*mask.shape, *[1] * (scores.dim() - 2))
    return scores.masked_fill(outside, -torch.inf).logsumexp(1)
