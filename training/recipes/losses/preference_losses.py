"""Losses over what people said about one set of candidates: pairs with soft labels, or whole rankings with ties.

Every loss is a mean over the terms of one ranking, so a ranking counts once however many candidates it has
(InstructGPT 2203.02155: all pairs of a ranking in one step, weighted 1/C(K,2)). Scores and losses in nats.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def plackett_luce(scores: Tensor, tiers: Sequence[Sequence[int]], *, is_partial: bool = False) -> Tensor:
    """Return the negative log-likelihood of a ranking with ties, per candidate that is chosen before the last.

    Candidates are drawn one after the other, each with probability softmax over those that are left; for a tie of m
    Efron's approximation (1977) takes the average over the orders in which the m may have been drawn: the l-th of them
    is drawn from what is left with l/m of the tie gone. A first tier of one gives Ziegler's best-of-N cross-entropy as
    the first term. `is_partial`: the last tier got no place, so nothing is drawn from it.
    Shapes: (candidates, …), tiers best first as indices → (…).
    """
    ranked = [list(tier) for tier in tiers if tier]
    left = [index for tier in ranked for index in tier]
    total, terms = torch.zeros_like(scores[0]), 0
    for tier in ranked[:-1] if is_partial else ranked:
        remaining, tied = scores[left].logsumexp(0), scores[tier].logsumexp(0)
        for place in range(len(tier)):
            if len(left) == 1:
                break  # the last one alone is drawn for certain
            gone = place / len(tier)
            # log(Σ_left − gone · Σ_tied), taken apart from the larger sum for the sake of large scores.
            total = total + remaining + torch.log1p(-gone * torch.exp(tied - remaining)) - scores[tier[place]]
            terms += 1
        left = left[len(tier) :]
    return total / max(terms, 1)
