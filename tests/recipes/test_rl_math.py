"""Every expected number is worked out by hand in the comment above it; no test repeats the formula it checks."""

from __future__ import annotations

import math

import pytest
import torch

from training.recipes.losses import rl_math

pytestmark = pytest.mark.recipes


def tensor(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def mask(*rows: list[bool]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.bool)


def test_logprobs_are_taken_at_the_sampling_temperature():
    # At T = 0.5 the logits (ln 2, 0) become (2 ln 2, 0): odds 4 to 1, so p = 4/5 and 1/5.
    logits = torch.tensor([[math.log(2), 0.0], [math.log(2), 0.0]])
    found = rl_math.token_logprobs(logits, torch.tensor([0, 1]), 0.5)
    assert found.tolist() == pytest.approx([math.log(0.8), math.log(0.2)])


def test_gradient_of_logprobs_is_one_hot_minus_probability():
    # T = 0.5, p = (4/5, 1/5). For token 0, d log p / d logit = (1 − 4/5, −1/5) / T = (0.4, −0.4).
    logits = torch.tensor([[math.log(2), 0.0]], requires_grad=True)
    rl_math.token_logprobs(logits, torch.tensor([0]), 0.5).sum().backward()
    assert logits.grad[0].tolist() == pytest.approx([0.4, -0.4])


def test_head_and_logprobs_in_one():
    # Rows of the head (1, 1) and (0, 1), state (ln 2, 7): logits (ln 2 + 7, 7), at T = 0.5 odds of 4 to 1 again.
    # d log p(0) / d state = (w0 − (4/5 w0 + 1/5 w1)) / T = (w0 − w1) · 0.2 / 0.5 = (0.4, 0); times the gradient 3.
    hidden = torch.tensor([[math.log(2), 7.0]] * 300, requires_grad=True)  # more than go through the head at once
    weight = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    found = rl_math.head_logprobs(hidden, weight, torch.tensor([0] * 299 + [1]), 0.5)
    assert found[[0, 256, 299]].tolist() == pytest.approx([math.log(0.8), math.log(0.8), math.log(0.2)])
    (3 * found[:299]).sum().backward()
    assert hidden.grad[[0, 298]].flatten().tolist() == pytest.approx([1.2, 0.0, 1.2, 0.0], abs=1e-6)
    assert hidden.grad[299].tolist() == [0, 0]


def test_a_head_that_learns_is_refused_where_it_would_learn_nothing():
    with pytest.raises(ValueError, match="no gradient"):
        rl_math.head_logprobs(torch.ones(1, 2), torch.ones(3, 2, requires_grad=True), torch.tensor([0]), 1.0)


def test_masked_mean_counts_tokens_not_rows():
    # (1 + 2 + 3 + 10) / 4 = 4; the 99s are padding. The mean of the row means would be 6.
    values = tensor([1, 2, 3], [10, 99, 99])
    assert rl_math.masked_mean(values, mask([1, 1, 1], [1, 0, 0])) == 4


def test_whitening_uses_the_biased_variance():
    # 1, 2, 3, 6: mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5, deviation 1.870829.
    # (1 − 3) / 1.870829 = −1.069045, −0.534522, 0, 1.603567.
    values, real = tensor([1, 2, 3], [6, 99, 99]), mask([1, 1, 1], [1, 0, 0])
    expected = tensor([-1.069045, -0.534522, 0], [1.603567, 0, 0])
    torch.testing.assert_close(rl_math.masked_whiten(values, real), expected, atol=1e-6, rtol=0)


def test_whitening_can_keep_the_mean():
    # As above, each plus the mean 3.
    values, real = tensor([1, 2, 3], [6, 99, 99]), mask([1, 1, 1], [1, 0, 0])
    expected = tensor([1.930955, 2.465478, 3], [4.603567, 0, 0])
    found = rl_math.masked_whiten(values, real, shift_mean=False)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_kl_is_summed_over_the_real_tokens():
    # Row 0: (−1 + 1.5) + (−2 + 2.25) = 0.75. Row 1: −1 + 0.5 = −0.5, the rest is padding.
    kl = rl_math.sequence_kl(tensor([-1, -2], [-1, 7]), tensor([-1.5, -2.25], [-0.5, 9]), mask([1, 1], [1, 0]))
    assert kl.tolist() == [0.75, -0.5]


def test_score_lands_on_the_last_real_token():
    # β = 0.1. Row 0: −0.1·0.5 = −0.05; −0.1·0.25 + 2 = 1.975. Row 1: its only token −0.1·(−0.5) + 3 = 3.05.
    rewards = rl_math.penalised_rewards(
        torch.tensor([2.0, 3.0]),
        tensor([-1, -2], [-1, 7]),
        tensor([-1.5, -2.25], [-0.5, 9]),
        mask([1, 1], [1, 0]),
        0.1,
    )
    torch.testing.assert_close(rewards, tensor([-0.05, 1.975], [3.05, 0]))


def test_gae_by_hand():
    # γ = 0.5, λ = 0.5. Row 0, from the end:
    #   t=2: δ = 4 − 1 = 3                        A = 3
    #   t=1: δ = 0 + 0.5·1 − 2 = −1.5             A = −1.5 + 0.25·3 = −0.75
    #   t=0: δ = 1 + 0.5·2 − 0 = 2                A = 2 + 0.25·(−0.75) = 1.8125
    # Row 1 ends after its first token (what stands behind it is padding): δ = A = 5 − 3 = 2.
    advantages, returns = rl_math.gae(
        tensor([1, 0, 4], [5, 9, 9]),
        tensor([0, 2, 1], [3, 9, 9]),
        mask([1, 1, 1], [1, 0, 0]),
        gamma=0.5,
        lam=0.5,
    )
    torch.testing.assert_close(advantages, tensor([1.8125, -0.75, 3], [2, 0, 0]))
    torch.testing.assert_close(returns, tensor([1.8125, 1.25, 4], [5, 0, 0]))


def test_policy_loss_clips_only_what_would_go_too_far():
    # ε = 0.2, ratios 1.5, 0.5, 1.5, 1 (and one token of padding).
    #   A = 2,  r = 1.5: max(−3, −2.4) = −2.4, clipped
    #   A = 2,  r = 0.5: max(−1, −1.6) = −1
    #   A = −1, r = 1.5: max(1.5, 1.2) = 1.5
    #   A = −1, r = 1:   1
    # Mean (−2.4 − 1 + 1.5 + 1) / 4 = −0.225; one of four clipped.
    # ½ mean of squared log ratios: ln 1.5 = 0.405465 (0.164402), ln 0.5 = −0.693147 (0.480453), 0.164402, 0:
    # 0.809257 / 8 = 0.101157.
    ratios = tensor([1.5, 0.5, 1.5, 1, 8])
    found = rl_math.policy_loss(
        ratios.log(), tensor([0, 0, 0, 0, 0]), tensor([2, 2, -1, -1, 5]), mask([1, 1, 1, 1, 0]), 0.2
    )
    assert found.loss.item() == pytest.approx(-0.225)
    assert found.clipfrac.item() == pytest.approx(0.25)
    assert found.approxkl.item() == pytest.approx(0.101157, abs=1e-6)
    assert found.ratio[0].tolist() == pytest.approx([1.5, 0.5, 1.5, 1, 1])


def test_policy_gradient_points_to_the_better_token():
    new = tensor([-1.0, -1.0]).requires_grad_()
    rl_math.policy_loss(new, tensor([-1.0, -1.0]), tensor([1.0, -1.0]), mask([1, 1]), 0.2).loss.backward()
    # Descending the loss raises the log-probability of the token with A = 1 and lowers the other: ∓1/2.
    assert new.grad[0].tolist() == [-0.5, 0.5]


def test_value_loss_takes_the_worse_of_clipped_and_plain():
    # Range 0.2 around the old value 1.
    #   V = 2,   R = 2: plain 0, clipped to 1.2: 0.64 → 0.64
    #   V = 1.1, R = 2: within the range, 0.81
    #   V = 0,   R = 2: plain 4, clipped to 0.8: 1.44 → 4
    # ½ · (0.64 + 0.81 + 4) / 3 = 0.908333.
    loss = rl_math.value_loss(
        tensor([2, 1.1, 0, 50]), tensor([1, 1, 1, 1]), tensor([2, 2, 2, 2]), mask([1, 1, 1, 0]), 0.2
    )
    assert loss.item() == pytest.approx(0.908333, abs=1e-6)


def test_explained_variance():
    # Returns 0, 2, 4: variance 8/3. Errors 0, 1, 0: mean square 1/3. 1 − (1/3) / (8/3) = 0.875.
    found = rl_math.explained_variance(tensor([0, 1, 4, 7]), tensor([0, 2, 4, 0]), mask([1, 1, 1, 0]))
    assert found.item() == pytest.approx(0.875, abs=1e-6)


@pytest.mark.parametrize(
    ("kl", "expected"),
    [
        (6.6, 0.102),  # 10 % above the target: 0.1 · (1 + 0.1 · 64/320) = 0.1 · 1.02
        (60, 0.104),  # far above: the error is clipped to 0.2, 0.1 · (1 + 0.2 · 0.2)
        (0, 0.096),  # far below: 0.1 · (1 − 0.2 · 0.2)
        (6, 0.1),
    ],
)
def test_adaptive_kl_coefficient(kl: float, expected: float):
    found = rl_math.adapted_kl_coef(0.1, kl, target=6, episodes=64, horizon=320)
    assert found == pytest.approx(expected)


def test_adaptive_kl_refuses_a_target_of_zero():
    with pytest.raises(ValueError, match="positive"):
        rl_math.adapted_kl_coef(0.1, 1, target=0, episodes=64, horizon=320)
