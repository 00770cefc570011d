"""Bradley–Terry with ties, against numbers worked out by hand."""

import math

import pytest

from annotation.judged.preferences import Vote
from annotation.judged.strengths import NoEstimate, WinRecord, count, fit, jackknifed


def gap(strengths, better: str = "a", worse: str = "b") -> float:
    return strengths[better].value - strengths[worse].value


def test_without_a_prior_the_odds_are_the_counts():
    """Three wins to one: the odds are 3, so the strengths are ln 3 apart, around their middle 0."""
    strengths = fit({("a", "b"): WinRecord(3, 1)}, prior=0)
    assert gap(strengths) == pytest.approx(math.log(3), abs=2e-4)
    assert strengths["a"].value == pytest.approx(-strengths["b"].value, abs=1e-4)


def test_ties_do_not_move_two_things_but_make_them_more_certain():
    """Davidson's model fits two things exactly: the odds of the wins are 4 whatever the ties are."""
    strict = fit({("a", "b"): WinRecord(4, 1)}, prior=0)
    tied = fit({("a", "b"): WinRecord(4, 1, 2)}, prior=0)
    assert gap(strict) == pytest.approx(math.log(4), abs=2e-4)
    assert gap(tied) == pytest.approx(math.log(4), abs=2e-4)


def test_three_things_in_a_row():
    """a:b is 2:1, b:c is 2:1 and a:c 4:1 fit exactly with odds of 2 a step: ln 2, 0 and -ln 2."""
    records = {("a", "b"): WinRecord(2, 1), ("b", "c"): WinRecord(2, 1), ("a", "c"): WinRecord(4, 1)}
    strengths = fit(records, prior=0)
    assert [strengths[name].value for name in "abc"] == pytest.approx([math.log(2), 0, -math.log(2)], abs=1e-4)


def test_the_prior_is_a_half_win_and_a_half_loss_against_the_average():
    """At ±ln 2 a wins 4 of 5 against b and 2 of 3 against the average. The slope is
    w/5 - 4·1/5 + (1/3 - 2/3)/2, which is zero for w = 29/6 wins to 1."""
    strengths = fit({("a", "b"): WinRecord(29 / 6, 1)})
    assert strengths["a"].value == pytest.approx(math.log(2), abs=1e-4)


def test_the_interval_is_from_the_curvature():
    """One win each: everything is 0, and by symmetry the curvature of the difference is 2·(1/4)·2 plus the prior's
    1/4 per unit of each strength. [[3/4, -1/2], [-1/2, 3/4]] has 12/5 in its inverse's corner: ±1.96·√2.4."""
    strength = fit({("a", "b"): WinRecord(1, 1)})["a"]
    assert (strength.value, strength.high, strength.low) == pytest.approx((0, 3.0364, -3.0364), abs=1e-3)


def test_what_always_wins_is_finite_by_the_prior_and_refused_without_it():
    records = {("a", "b"): WinRecord(1000, 0)}
    strengths = fit(records)
    assert 0 < strengths["a"].value < 20
    assert all(math.isfinite(end) for end in (strengths["a"].low, strengths["a"].high))
    with pytest.raises(NoEstimate, match="always won"):
        fit(records, prior=0)


def test_parts_that_were_never_compared_are_each_around_the_average():
    records = {("a", "b"): WinRecord(3, 1), ("c", "d"): WinRecord(3, 1)}
    strengths = fit(records)
    assert strengths["a"].value == pytest.approx(strengths["c"].value, abs=1e-4)
    assert strengths["a"].value > 0 > strengths["b"].value
    with pytest.raises(NoEstimate, match="stood apart"):
        fit(records, prior=0)


def test_only_ties_are_no_difference():
    strengths = fit({("a", "b"): WinRecord(0, 0, 5)})
    assert (strengths["a"].value, strengths["b"].value) == (0, 0)
    assert fit({}) == {}


def test_a_ranking_counts_every_comparison_of_different_names():
    records = {}
    count(records, Vote([[1], [2, 3], [4]]), {1: "v1", 2: "v0", 3: "v1", 4: "v0"})
    # v1's 1 beats 2 and 4, its 3 beats 4 and ties with 2; 1 against 3 and 2 against 4 are the same author.
    assert records == {("v0", "v1"): WinRecord(wins=0, losses=3, ties=1)}


def test_groups_that_agree_leave_little_doubt_and_groups_that_differ_leave_much():
    alike = jackknifed([{("a", "b"): WinRecord(3, 1)}] * 10, prior=0)
    differing = jackknifed([{("a", "b"): WinRecord(6, 0)}] * 5 + [{("a", "b"): WinRecord(0, 2)}] * 5, prior=0)
    assert gap(alike) == pytest.approx(math.log(3), abs=2e-4)
    assert gap(differing) == pytest.approx(math.log(3), abs=2e-4)  # 30 wins to 10 as well
    assert alike["a"].high - alike["a"].low < 1e-3
    assert differing["a"].low < 0.1 < 1 < differing["a"].high
