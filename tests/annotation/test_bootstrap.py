"""Intervals by resampling clusters, against numbers worked by hand.

Of two clusters a resample takes the first twice, both, or the second twice, with probabilities 1/4, 1/2 and 1/4. The
ends at 95 % are therefore the extremes, and at 40 % (quantiles .3 and .7) both are the middle value.
"""

from __future__ import annotations

import pytest

from annotation.stats.bootstrap import crossed_interval, mean_interval, percentile_interval, ratio_interval, rounded


def test_the_ends_are_interpolated_between_order_statistics():
    assert percentile_interval([4, 0, 3, 1, 2], level=0.5) == (1.0, 3.0)
    assert percentile_interval([3, 0, 2, 1], level=0.5) == (0.75, 2.25)
    assert percentile_interval(range(101), level=0.95) == pytest.approx((2.5, 97.5))


def test_a_ratio_is_of_sums_and_not_a_mean_of_ratios():
    # One of one, none of three: together one of four. The mean of the two ratios would be one half.
    assert ratio_interval([1, 0], [1, 3], level=0.4) == (0.25, 0.25)
    assert ratio_interval([1, 0], [1, 3], level=0.95) == (0.0, 1.0)


def test_clusters_are_resampled_whole():
    # A hundred observations in two clusters can be no surer than two observations.
    assert ratio_interval([50, 0], [50, 50]) == (0.0, 1.0)


def test_an_empty_cluster_changes_nothing_and_none_gives_no_interval():
    assert ratio_interval([1, 0, 0], [1, 3, 0], level=0.4) == (0.25, 0.25)
    assert ratio_interval([], []) is None
    assert ratio_interval([0], [0]) is None
    assert mean_interval([]) is None


def test_a_mean_of_equal_values_is_certain():
    assert mean_interval([0.25] * 7) == (0.25, 0.25)


def test_a_mean_of_many_clusters_is_as_wide_as_the_normal_law_says():
    # 1,000 values, half 0 and half 1: standard error .5 / √1000 = .0158, interval .5 ± .031.
    low, high = mean_interval([0.0, 1.0] * 500)
    assert low == pytest.approx(0.469, abs=0.006)
    assert high == pytest.approx(0.531, abs=0.006)


def test_rows_and_columns_of_a_table_are_both_resampled():
    assert crossed_interval([[0, 0], [1, 1]], level=0.4) == (0.5, 0.5)
    assert crossed_interval([[0, 0], [1, 1]]) == (0.0, 1.0)
    assert crossed_interval([[0, 1], [0, 1]]) == (0.0, 1.0)
    assert crossed_interval([[0.5, 0.5], [0.5, 0.5]]) == (0.5, 0.5)


def test_the_same_seed_gives_the_same_interval():
    values = [0.1, 0.4, 0.2, 0.9, 0.3]
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3)
    assert rounded(mean_interval(values, seed=3)) == [round(end, 4) for end in mean_interval(values, seed=3)]
    assert rounded(None) is None
