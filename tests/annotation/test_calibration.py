"""Figures of AI judges by hand: agreement, κ, τ-b, differences and biases on a few pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from annotation.quality.bias import FIRST_AVOIDED, FIRST_FAVOURED, NO_SIGN, TOO_FEW
from annotation.quality.calibration import (
    ONE_PERSON,
    UNDEFINED,
    ComparedPair,
    agreements,
    by_slice,
    position_bias,
    slices_of,
)
from annotation.quality.figures import Figure
from annotation.quality.judge_trust import (
    BIASED,
    MAYBE_WORSE,
    NOT_WORSE,
    TOO_FEW_PAIRS,
    TOO_FEW_PROMPTS,
    TOO_FEW_VERDICTS,
    Trust,
    decided,
)
from annotation.quality.scripts import language_of_text
from annotation.stats.tables import agreement, interval, kappa, resampled, table_of, tau_b


def pair(prompt: int, choice: int, *people: int, **more) -> ComparedPair:
    return ComparedPair(prompt, choice, more.pop("forward", choice), more.pop("backward", choice), people, **more)


def test_a_table_by_hand():
    """Ten pairs: both say 1 four times and -1 three times; one 1 against -1, one -1 against 1, one tie against 1."""
    table = table_of([(1, 1)] * 4 + [(-1, -1)] * 3 + [(1, -1), (-1, 1), (0, 1)])
    assert agreement(table) == pytest.approx(0.7)
    # With its mirror image the rows hold 9, 2 and 9 of 20, the columns 10, 0 and 10: by chance 180 of 400.
    assert kappa(table) == pytest.approx((0.7 - 0.45) / 0.55)
    assert tau_b(table) == pytest.approx((7 - 2) / np.sqrt(9 * 10))
    mirrored = table[::-1, ::-1]
    assert [float(of(mirrored)) for of in (kappa, tau_b)] == pytest.approx([float(of(table)) for of in (kappa, tau_b)])


def test_what_is_not_defined():
    ties = table_of([(0, 0)] * 3)
    assert agreement(ties) == 1
    assert np.isnan(kappa(ties))
    assert np.isnan(tau_b(ties))
    assert np.isnan(agreement(np.zeros((3, 3))))
    assert interval([np.nan, np.nan, 1.0]) is None
    assert interval([]) is None


def test_resamples_hold_whole_clusters():
    """Each resample of three clusters is a sum of three of them, whichever; the same seed gives the same ones."""
    sums = resampled([[1.0, 0.0], [10.0, 0.0], [100.0, 1.0]], seed=3)
    assert sums.shape == (2000, 2)
    assert {int(value) for value in sums[:, 0]} <= {
        a + b + c for a in (1, 10, 100) for b in (1, 10, 100) for c in (1, 10, 100)
    }
    assert (sums[:, 1] == sums[:, 0] // 100).all()
    assert (resampled([[1.0], [2.0]], seed=1) == resampled([[1.0], [2.0]], seed=1)).all()
    assert resampled(np.ones((1000, 2))).shape == (2000, 2)
    many = resampled(np.tile(np.arange(1000.0)[:, None], 2))  # more than are drawn singly: in blocks, kept whole
    assert (many[:, 0] == many[:, 1]).all()
    assert many.mean() == pytest.approx(999 * 500, rel=0.01)


def test_a_pair_counts_once_however_many_people_judged_it():
    """Pair 1: three people say 1, -1, 1 and the judge 1. Pair 2: one person, who agrees. Pair 3: two who differ."""
    found = agreements([pair(1, 1, 1, -1, 1), pair(2, -1, -1), pair(3, 0, 0, 1)])
    assert found.agreement.value == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    # Of the three pairs of people on pair 1 one agrees, of the one on pair 3 none does.
    assert found.people_agreement.value == pytest.approx((1 / 3 + 0) / 2)
    assert found.difference.value == pytest.approx((2 / 3 + 1 / 2) / 2 - (1 / 3) / 2)
    assert (found.pairs, found.prompts, found.difference.n, found.difference.ci95) == (3, 3, 2, None)


def test_a_judge_that_is_one_more_person_differs_in_nothing():
    """All eight ways of two people and a judge to choose 1 or -1, each as often: no difference on the whole."""
    ways = [(a, b, c) for a in (1, -1) for b in (1, -1) for c in (1, -1)]
    found = agreements([pair(number, judge, one, two) for number, (judge, one, two) in enumerate(ways * 5)])
    assert found.difference.value == pytest.approx(0)
    assert found.difference.low < 0 < found.difference.high
    assert [found.kappa.value, found.people_kappa.value] == pytest.approx([0, 0])


def test_without_people_or_pairs_there_is_a_reason():
    assert agreements([]).agreement.reason == "no pairs yet"
    alone = agreements([pair(1, 1, 1), pair(2, 0, 0)])
    assert (alone.people_agreement.reason, alone.difference.reason) == (ONE_PERSON, ONE_PERSON)
    tied = agreements([pair(1, 0, 0, 0)])
    assert (tied.agreement.value, tied.kappa.reason) == (1.0, UNDEFINED)


@pytest.mark.parametrize(
    ("forward", "backward", "excess", "verdict"),
    [
        (1, -1, 0.5, FIRST_FAVOURED),  # the one that is shown first, in both orders
        (-1, 1, -0.5, FIRST_AVOIDED),
        (1, 1, 0.0, NO_SIGN),  # the first of the pair, wherever it is shown
        (0, -1, 0.5, FIRST_FAVOURED),
    ],
)
def test_position_bias_by_hand(forward, backward, excess, verdict):
    figure, told = position_bias(pair(number, 0, 1, forward=forward, backward=backward) for number in range(40))
    assert (figure.value, told) == (excess, verdict)


def test_slices():
    assert slices_of("", "Which tea?", 279) == (("category", "none"), ("language", "Latin script"), ("length", "short"))
    assert [dict(slices_of("tea", "茶", size))["length"] for size in (280, 1119, 1120)] == ["medium", "medium", "long"]
    one = [pair(number, 1, 1, slices=slices_of("tea" if number % 3 else "wine", "Tea?", 9)) for number in range(9)]
    assert [(dimension, value, row.pairs) for dimension, value, row in by_slice(one)] == [
        ("category", "tea", 6),
        ("category", "wine", 3),
    ]


@pytest.mark.parametrize(
    ("low", "n", "prompts", "verdict", "expected"),
    [
        (-0.05, 50, 50, NO_SIGN, Trust(True, NOT_WORSE)),
        (-0.0501, 50, 50, NO_SIGN, Trust(False, MAYBE_WORSE)),
        (0.2, 49, 50, NO_SIGN, Trust(False, TOO_FEW_PAIRS)),
        (0.2, 500, 49, NO_SIGN, Trust(False, TOO_FEW_PROMPTS)),
        (None, 500, 50, NO_SIGN, Trust(False, TOO_FEW_PROMPTS)),
        (0.2, 500, 50, FIRST_FAVOURED, Trust(False, BIASED)),
        (0.2, 500, 50, FIRST_AVOIDED, Trust(False, BIASED)),
        (0.2, 500, 50, TOO_FEW, Trust(False, TOO_FEW_VERDICTS)),
    ],
)
def test_a_judge_is_reliable_where_it_is_not_worse_than_people(low, n, prompts, verdict, expected):
    row = replace(
        agreements([]),
        difference=Figure(0.3, n=n, low=low, high=None if low is None else 0.4),
        people_prompts=prompts,
    )
    assert decided(row, verdict) == expected


@pytest.mark.parametrize(
    ("prompts", "choice", "expected"),
    [
        (60, 1, Trust(True, NOT_WORSE)),
        (12, 1, Trust(False, TOO_FEW_PROMPTS)),  # 60 pairs of few prompts
        (60, 0, Trust(False, TOO_FEW_VERDICTS)),  # people say of all that they are alike, and so does it of anything
    ],
)
def test_pairs_alone_make_no_judge_reliable(prompts, choice, expected):
    pairs = [pair(number % prompts, choice, choice, choice) for number in range(60)]
    alone = [pair(1000 + number, choice, choice) for number in range(60)]  # one person's say nothing of people
    figures = agreements([*pairs, *alone])
    assert (figures.prompts, figures.people_prompts) == (prompts + 60, prompts)
    assert decided(figures, position_bias(pairs)[1]) == expected


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Quelle est la différence ?", "Latin script"),
        ("红茶和绿茶有什么区别？", "Chinese"),
        ("紅茶と緑茶の違いは何ですか", "Japanese"),
        ("차의 종류를 설명해 주세요", "Korean"),
        ("Какой чай лучше?", "Cyrillic script"),
        ("ما هو الشاي", "Arabic script"),
        ("τι είναι το τσάι", "other script"),
        ("2 + 2 = ?", "no letters"),
        ("", "no letters"),
    ],
)
def test_languages_are_told_by_their_script(text, language):
    assert language_of_text(text) == language
