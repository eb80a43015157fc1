"""Calibration errors: what a number of so many rows can say."""

from __future__ import annotations

import numpy as np
import pytest

from sextant.errors import CalibrationError
from sextant.reliability import brier_score, estimated_calibration_error, expected_calibration_error


def forecaster(rows, seed, surplus=0.0):
    """What one says, and whether it was right; it says *surplus* too much."""
    rng = np.random.default_rng(seed)
    true = rng.beta(4, 1.5, rows) * (1 - surplus)
    return true + surplus, rng.uniform(size=rows) < true


def test_the_error_is_the_mean_gap_of_the_bins():
    said = [0.05] * 4 + [0.5] * 4 + [1.0] * 2
    right = [0, 0, 0, 1, 1, 1, 0, 0, 1, 0]

    assert expected_calibration_error(said, right, bins=10) == pytest.approx(0.4 * 0.2 + 0.4 * 0.0 + 0.2 * 0.5)


def test_few_rows_of_a_perfect_forecaster_show_an_error_all_the_same():
    """So a bare number below 500 rows says nothing: the floor and the interval do."""
    few, many = (estimated_calibration_error(*forecaster(rows, seed=1)) for rows in (250, 20_000))

    assert 0.03 < few.floor < 0.08
    assert many.floor < 0.008
    assert few.value < 2 * few.floor
    assert few.low < few.value < few.high


def test_a_forecaster_who_says_too_much_stands_above_the_floor():
    seen = estimated_calibration_error(*forecaster(2000, seed=2, surplus=0.1))

    assert seen.low > 2 * seen.floor
    assert seen.low < 0.1 < seen.high


def test_the_same_seed_says_the_same():
    rows = forecaster(300, seed=3)

    assert estimated_calibration_error(*rows) == estimated_calibration_error(*rows)
    assert estimated_calibration_error(*rows, seed=1) != estimated_calibration_error(*rows)


def test_squares_are_the_known_ones():
    assert brier_score([1.0, 0.0], [True, False]) == 0.0
    assert brier_score([1.0, 0.0], [False, True]) == 1.0


@pytest.mark.parametrize("said", [[], [0.5, 0.5], [[0.5]], [1.5], [float("nan")]])
def test_what_is_no_forecast_is_refused(said):
    with pytest.raises(CalibrationError, match="probabilit"):
        expected_calibration_error(said, [True])


@pytest.mark.parametrize("outcome", [2, 7, 0.5, -1, float("nan")])
def test_an_outcome_is_right_or_wrong(outcome):
    for score in (expected_calibration_error, estimated_calibration_error, brier_score):
        with pytest.raises(CalibrationError, match="an outcome is right or wrong, 1 or 0"):
            score([0.5, 0.5], [1, outcome])
