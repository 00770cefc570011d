from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from training.recipes.losses.preference_losses import bradley_terry, plackett_luce

pytestmark = pytest.mark.recipes

LN2, LN3 = math.log(2), math.log(3)


def pair(difference: float, share: float, margin: float | None = None) -> float:
    wanted = None if margin is None else torch.tensor([margin])
    return float(bradley_terry(torch.tensor([difference]), torch.tensor([share]), wanted))


def test_a_pair_that_all_agree_on():
    # σ(ln 3) = 3/4: −log 3/4 for the first, −log 1/4 for the second.
    assert pair(LN3, 1.0) == pytest.approx(math.log(4 / 3))
    assert pair(LN3, 0.0) == pytest.approx(math.log(4))


def test_a_tie_pulls_the_scores_together():
    # Half of each: (log 4/3 + log 4) / 2; smallest at no difference, log 2.
    assert pair(LN3, 0.5) == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)
    assert pair(0.0, 0.5) == pytest.approx(LN2)
    difference = torch.tensor([0.0], requires_grad=True)
    bradley_terry(difference, torch.tensor([0.5])).sum().backward()
    assert difference.grad.item() == 0


def test_two_of_three_votes_want_a_difference_of_ln_2():
    # The gradient of the loss is σ(d) − p: zero where σ(d) = 2/3, that is d = ln 2. A margin would not end there.
    difference = torch.tensor([LN2], requires_grad=True)
    bradley_terry(difference, torch.tensor([2 / 3])).sum().backward()
    assert difference.grad.item() == pytest.approx(0, abs=1e-7)


def test_a_margin_asks_for_distance_in_the_direction_of_the_majority():
    assert pair(LN3 + 0.5, 1.0, margin=0.5) == pytest.approx(math.log(4 / 3))
    assert pair(-LN3 - 0.5, 0.0, margin=0.5) == pytest.approx(math.log(4 / 3))
    assert pair(LN3, 0.5, margin=0.5) == pytest.approx(pair(LN3, 0.5))


def test_a_strict_ranking_is_drawn_one_by_one():
    # Odds 3 : 2 : 1. First of 6: 3/6, then 2/3, then the last for certain: mean of log 2 and log 3/2.
    scores = torch.tensor([0.0, LN3, LN2])
    assert float(plackett_luce(scores, [[1], [2], [0]])) == pytest.approx((math.log(2) + math.log(1.5)) / 2)


def test_two_candidates_are_a_pair():
    assert float(plackett_luce(torch.tensor([LN3, 0.0]), [[0], [1]])) == pytest.approx(pair(LN3, 1.0))


def test_its_first_term_is_the_cross_entropy_of_best_of_n():
    scores = torch.tensor([0.3, -1.2, 0.9, 0.1], requires_grad=True)
    loss = plackett_luce(scores, [[2], [0, 1, 3]])
    best_of_n = functional.cross_entropy(scores[None], torch.tensor([2]))
    rest = plackett_luce(scores[[0, 1, 3]], [[0, 1, 2]])  # what the tie of the others adds: three more draws
    assert float(loss) == pytest.approx(float(best_of_n + 3 * rest) / 4)


def test_ties_after_efron():
    # Odds 2, 1, 1; the first two tied on top. Draws: 2/4, then 1/(4 − ½ · 3) = 1/2.5; the last is certain.
    scores = torch.tensor([LN2, 0.0, 0.0])
    expected = (math.log(4 / 2) + math.log(2.5 / 1)) / 2
    assert float(plackett_luce(scores, [[0, 1], [2]])) == pytest.approx(expected)


def test_everything_tied_is_best_where_all_scores_are_equal():
    scores = torch.zeros(4, requires_grad=True)
    plackett_luce(scores, [[0, 1, 2, 3]]).backward()
    assert scores.grad.tolist() == pytest.approx([0.0] * 4, abs=1e-7)


def test_large_scores_do_not_overflow():
    scores = torch.tensor([500.0, -500.0, 500.0])
    assert float(plackett_luce(scores, [[0, 2], [1]])) == pytest.approx(LN2 / 2, abs=1e-5)


def test_heads_are_kept_apart():
    scores = torch.tensor([[LN3, 0.0], [0.0, LN3]])
    assert plackett_luce(scores, [[0], [1]]).tolist() == pytest.approx([math.log(4 / 3), math.log(4)])


def test_nothing_is_drawn_from_what_got_no_place():
    """Three equal scores: the best is drawn with probability a third, and the two without a place not at all."""
    loss = plackett_luce(torch.zeros(3), [[0], [1, 2]], is_partial=True)
    assert loss.item() == pytest.approx(math.log(3))
