"""Quantiles that two-sided 95 % intervals are made of."""

from __future__ import annotations

from statistics import NormalDist

Z95 = NormalDist().inv_cdf(0.975)
_T95 = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)  # 1 to 10 degrees of freedom


def student_t95(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's t with so many degrees of freedom, to within 0.0001.

    From 11 on by the expansion of Abramowitz and Stegun (1964), 26.7.5. Raises ValueError for fewer than 1.
    """
    if degrees < 1:
        raise ValueError("Student's t has at least 1 degree of freedom.")
    if degrees <= len(_T95):
        return _T95[degrees - 1]
    z = Z95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(z + sum(term / degrees**power for power, term in enumerate(terms, start=1)))
