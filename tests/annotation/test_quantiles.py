"""Quantiles against scipy's, which the tests may use and the product does without."""

from __future__ import annotations

import pytest

from annotation.stats.quantiles import Z95, student_t95


def test_the_quantiles_are_those_of_scipy_at_any_number_of_seeds():
    from scipy.stats import norm, t  # two seconds of each process that collects tests, were it above

    assert pytest.approx(norm.ppf(0.975), abs=1e-9) == Z95
    for degrees in [*range(1, 60), 100, 1000]:
        assert student_t95(degrees) == pytest.approx(t.ppf(0.975, degrees), abs=1e-4)


def test_twelve_seeds_have_eleven_degrees_of_freedom():
    assert round(student_t95(11), 3) == 2.201  # any printed table


def test_one_value_has_no_spread():
    with pytest.raises(ValueError, match="at least 1 degree"):
        student_t95(0)
