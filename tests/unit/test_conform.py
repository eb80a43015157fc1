from __future__ import annotations

import numpy as np
import pytest

from sextant.conform import (
    conformal_radius,
    conformal_rank,
    coverage,
    fewest_rows,
    group_conformal_radii,
    mahalanobis_scores,
)
from sextant.errors import CalibrationError, CovarianceError, ParametersError
from sextant.gaussian import anees, energy_score, negative_log_likelihood, probability_integral


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
    with pytest.raises(CalibrationError, match="row 0 is said to be without error .* singular"):
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


def test_groups_are_calibrated_apart():
    """One group's errors are three times the other's: radii for both together serve neither."""
    rng = np.random.default_rng(8)
    group = np.repeat([0, 1], 5000)
    scores = np.hypot(*rng.normal(size=(2, 10_000))) * np.where(group == 1, 3.0, 1.0)
    calibrated, fresh = slice(None, None, 2), slice(1, None, 2)
    together = conformal_radius(scores[calibrated], 0.9)
    apart = group_conformal_radii(scores[calibrated], group[calibrated], ["hall", "yard"], [0.5, 0.9])

    held = [coverage(scores[fresh][group[fresh] == i], [together, apart[i, 1]]) for i in (0, 1)]

    assert [share for share, _ in held] == [pytest.approx(1.0, abs=0.01), pytest.approx(0.8, abs=0.03)]
    assert [share for _, share in held] == pytest.approx([0.9, 0.9], abs=0.02)


def test_every_group_that_is_too_small_is_said_with_what_it_has_and_needs():
    group = np.repeat([0, 1, 2], [19, 18, 40])

    with pytest.raises(CalibrationError, match=r"needs 19 .* 0.95 ellipse, but group '1' has 18, '3' has 0: bring"):
        group_conformal_radii(np.ones(77), group, ["0", "1", "2", "3"], [0.5, 0.95])


def test_numpys_quantile_holds_less_than_it_promises():
    """The reference code of ellipsoidal conformal prediction takes it: with 19 rows, .905 where .95 is said."""
    scores = np.sort(np.random.default_rng(6).uniform(size=(20_000, 19)), axis=1)

    assert np.quantile(scores, 0.95, axis=1).mean() == pytest.approx(0.905, abs=0.002)
    assert np.mean([conformal_radius(row, 0.95) for row in scores[:4000]]) == pytest.approx(0.95, abs=0.002)


def test_radii_set_on_the_training_rows_are_too_small():
    """A member that learnt its rows by heart is wrong by nothing on them; no arithmetic here can see it."""
    rng = np.random.default_rng(7)
    place = rng.uniform(0, 100, (400, 2))
    heard = place + rng.normal(0, 5, place.shape)
    nearest = np.abs(heard[200:, None] - heard[None, :200]).sum(axis=2).argmin(axis=1)
    learnt, fresh = np.zeros((200, 2)) + 1e-3, place[:200][nearest] - place[200:]
    on_training = conformal_radius(mahalanobis_scores(learnt, np.eye(2)), 0.95)
    held_back = conformal_radius(mahalanobis_scores(fresh[:100], np.eye(2)), 0.95)

    served = mahalanobis_scores(fresh[100:], np.eye(2))

    assert coverage(served, [on_training])[0] == 0.0
    assert coverage(served, [held_back])[0] >= 0.9


def test_covariances_that_are_true_have_an_anees_of_one():
    """Three times too small, it says three; with heavy tails, growing by it still leaves the ellipses short."""
    rng = np.random.default_rng(4)
    gaussian, heavy = rng.normal(size=(20_000, 2)), rng.standard_t(3, (20_000, 2))
    unit = np.broadcast_to(np.eye(2), (20_000, 2, 2))

    assert anees(gaussian, unit) == pytest.approx(1.0, abs=0.03)
    assert anees(gaussian, unit / 3) == pytest.approx(3.0, abs=0.09)
    grown = probability_integral(heavy, unit * anees(heavy, unit))
    assert np.mean(grown <= 0.95) == pytest.approx(0.94, abs=0.008)


def test_the_energy_score_far_away_is_the_distance_less_half_that_of_two_draws():
    covariance = [[30.0, 12.0], [12.0, 50.0]]

    assert 2000.0125 - energy_score([2000.0, 0.0], covariance) == pytest.approx(11.0990395518 / 2, abs=0.01)


@pytest.mark.parametrize("level", [1e-12, 0.5, 0.55, 0.7, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999])
def test_the_fewest_rows_said_are_the_fewest_that_do(level):
    """Also where one less the level is no number that floats have: 0.9999 takes 9,999 rows and not 10,000."""
    fewest = fewest_rows(level)

    assert 1 <= conformal_rank(fewest, level) <= fewest
    assert fewest == 1 or conformal_rank(fewest - 1, level) > fewest - 1


def test_a_singular_covariance_has_no_likelihood_even_where_nothing_is_wrong():
    """It was minus infinity: the best there is."""
    with pytest.raises(CalibrationError, match="row 0 is said to be without error .* singular"):
        negative_log_likelihood([0.0, 0.0], [[1.0, 0.0], [0.0, 0.0]])
    with pytest.raises(CalibrationError, match="row 1 is said to be without error"):
        negative_log_likelihood(np.zeros((2, 2)), [np.eye(2), np.ones((2, 2))])


@pytest.mark.parametrize(
    ("residuals", "covariances"),
    [
        (np.zeros((3, 2)), np.tile(np.eye(2), (2, 1, 1))),
        (np.zeros((1, 2)), np.tile(np.eye(2), (2, 1, 1))),
        (np.zeros((3, 3)), np.eye(2)),
        ([["1", "2"]], np.eye(2)),
        ([[1, 2], [3]], np.eye(2)),
    ],
)
def test_there_is_a_residual_for_every_covariance(residuals, covariances):
    with pytest.raises(CalibrationError, match="expected residuals"):
        mahalanobis_scores(residuals, covariances)


@pytest.mark.parametrize("group", [[0] * 19 + [2] * 19, [-1] * 38, [0] * 37, [0.5] * 38, [[0] * 38]])
def test_a_row_in_no_group_is_refused(group):
    with pytest.raises(CalibrationError, match="expected (groups from 0 to 1|a group for each score)"):
        group_conformal_radii(np.arange(38.0), group, ["0", "1"], [0.5])


def test_a_level_is_printed_as_it_is():
    with pytest.raises(CalibrationError, match="a 0.9999999 ellipse needs 9999999 calibration rows, got 5"):
        conformal_radius(np.arange(5.0), 0.9999999)
    with pytest.raises(CalibrationError, match="for its 0.9999999 ellipse"):
        group_conformal_radii(np.arange(2.0), [0, 1], ["0", "1"], [0.9999999])
