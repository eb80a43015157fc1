from __future__ import annotations

import numpy as np
import pytest

from sextant.conform import conformal_radius, conformal_rank, coverage, mahalanobis_scores
from sextant.errors import CalibrationError, CovarianceError, ParametersError
from sextant.gaussian import energy_score, negative_log_likelihood, probability_integral


@pytest.mark.parametrize(
    ("n", "level", "rank"),
    [(99, 0.9, 90), (100, 0.9, 91), (19, 0.95, 19), (200, 0.95, 191), (5000, 0.95, 4751), (99, 0.55, 55)],
)
def test_the_rank_is_the_ceiling_and_not_a_hair_more(n, level, rank):
    """0.55 of 100 is 55.00000000000001 to a computer."""
    assert conformal_rank(n, level) == rank


@pytest.mark.parametrize(("level", "fewest"), [(0.5, 1), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_too_few_rows_say_how_many_it_takes(level, fewest):
    scores = np.arange(1.0, fewest + 1)

    assert conformal_radius(scores, level) == fewest
    with pytest.raises(CalibrationError, match=f"needs {fewest} calibration rows, got {fewest - 1}"):
        conformal_radius(scores[:-1], level)


def test_it_is_not_numpys_quantile():
    scores = np.arange(1.0, 20.0)

    assert conformal_radius(scores, 0.95) == 19.0
    assert np.quantile(scores, 0.95) < 19.0


def test_a_score_that_is_not_a_number_is_refused():
    with pytest.raises(CalibrationError, match="not a number"):
        conformal_radius([1.0, np.nan], 0.5)


def test_a_percentage_is_no_level():
    with pytest.raises(ParametersError, match="between 0 and 1"):
        conformal_radius(np.arange(200.0), 95)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_the_promise_holds_over_many_calibrations_with_heavy_tails(level):
    """Coverage lies in [p, p + 1/(n + 1)] on average, though the errors are not Gaussian."""
    rng = np.random.default_rng(5)
    n, shares = 200, []
    for _ in range(300):
        errors = rng.standard_t(3, (n + 500, 2)) * [3.0, 1.0]
        scores = mahalanobis_scores(errors, np.eye(2))
        shares.append(coverage(scores[n:], [conformal_radius(scores[:n], level)])[0])

    assert level - 0.004 <= np.mean(shares) <= level + 1 / (n + 1) + 0.004


def test_scores_are_distances_in_standard_deviations():
    scores = mahalanobis_scores([[5.0, -3.0], [0.0, 0.0]], np.tile([[30.0, 12.0], [12.0, 50.0]], (2, 1, 1)))

    assert scores**2 == pytest.approx([1.3864306784660765, 0.0], rel=1e-12)


def test_nothing_can_be_measured_in_a_singular_covariance():
    with pytest.raises(CalibrationError, match="singular"):
        mahalanobis_scores([1.0, 1.0], [[1.0, 0.0], [0.0, 0.0]])
    with pytest.raises(CovarianceError, match="negative"):
        mahalanobis_scores([1.0, 1.0], [[1.0, 0.0], [0.0, -1.0]])
    with pytest.raises(CalibrationError, match="not finite"):
        mahalanobis_scores([np.nan, 1.0], np.eye(2))


def test_coverage_counts_the_bound_as_inside():
    assert coverage([1.0, 2.0, 3.0, 4.0], [2.0, 0.5]).tolist() == [0.5, 0.0]


def test_scores_of_a_gaussian_that_foretold():
    residual, covariance = [5.0, -3.0], [[30.0, 12.0], [12.0, 50.0]]

    assert probability_integral(residual, covariance) == pytest.approx(0.5000340781751716, rel=1e-9)
    assert negative_log_likelihood(residual, covariance) == pytest.approx(6.137239639892554, rel=1e-9)
    assert energy_score(residual, covariance) == pytest.approx(4.0759, abs=2e-3)
    assert energy_score([0.0, 0.0], np.eye(2)) == pytest.approx(0.3670872118627423, rel=1e-9)
