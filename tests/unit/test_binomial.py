"""Intervals of a counted share, against SciPy and against counting."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sextant.binomial import beta_quantile, coverage_interval, realised_coverage
from sextant.errors import CalibrationError


@pytest.mark.parametrize("rows", [1, 2, 19, 200, 5_000, 200_000])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95, 1.0])
def test_the_interval_is_clopper_and_pearsons(rows, share):
    inside = round(share * rows)
    wanted = stats.binomtest(inside, rows).proportion_ci(0.95, method="exact")

    assert coverage_interval(inside, rows) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (1, 500), (500, 1), (191, 10), (7, 3)])
@pytest.mark.parametrize("probability", [1e-6, 0.05, 0.5, 0.95, 1 - 1e-6])
def test_quantiles_are_the_beta_distributions(a, b, probability):
    assert beta_quantile(a, b, probability) == pytest.approx(stats.beta.ppf(probability, a, b), abs=1e-9)


@pytest.mark.parametrize(
    ("rows", "low", "high"),
    [
        (19, 0.854, 0.997),
        (50, 0.909, 0.993),
        (100, 0.911, 0.980),
        (200, 0.923, 0.973),
        (500, 0.933, 0.965),
        (1000, 0.938, 0.961),
        (5000, 0.945, 0.955),
    ],
)
def test_the_band_of_realised_coverage_is_the_tables(rows, low, high):
    assert realised_coverage(rows, 0.95) == pytest.approx((low, high), abs=6e-4)


def test_the_band_holds_nine_of_ten_calibrations():
    """Two thousand calibrations of fifty uniform scores, whose quantiles are their own coverage."""
    scores = np.sort(np.random.default_rng(0).uniform(size=(2000, 50)), axis=1)
    low, high = realised_coverage(50, 0.9)

    held = np.mean((low <= scores[:, 45]) & (scores[:, 45] <= high))

    assert held == pytest.approx(0.9, abs=0.025)


@pytest.mark.parametrize(("inside", "rows"), [(1, 0), (-1, 5), (6, 5)])
def test_an_impossible_count_is_refused(inside, rows):
    with pytest.raises(CalibrationError, match="expected a count within"):
        coverage_interval(inside, rows)


def test_too_few_rows_have_no_band():
    with pytest.raises(CalibrationError, match=r"no radius holds 0.95 on the word of 18 rows"):
        realised_coverage(18, 0.95)
