"""Scores count what was promised."""

from __future__ import annotations

import numpy as np
import pytest

from sextant.answers import ErrorEllipse, Fix
from sextant.ellipse import mahalanobis_radius
from sextant.errors import CalibrationError
from sextant.geodesy import to_latitude_longitude
from sextant.scores import Scores, chi_square_coverage, evaluate, inside, offsets_m

LEVELS = (0.5, 0.95)
PLACE = (48.0, 11.0)


def fix(semi_major_m=20.0, semi_minor_m=10.0, orientation_deg=90.0):
    """One at PLACE, its 50 % ellipse half as large as its 95 % one."""
    ellipses = tuple(
        ErrorEllipse(level, semi_major_m * share, semi_minor_m * share, orientation_deg)
        for level, share in zip(LEVELS, (0.5, 1.0), strict=True)
    )
    return Fix(*PLACE, ((100.0, 0.0), (0.0, 25.0)), LEVELS, ellipses)


def at(east, north):
    return to_latitude_longitude(np.array(PLACE), np.array([[east, north]]))


@pytest.mark.parametrize(
    ("east", "north", "held"),
    [(0, 0, True), (19.9, 0, True), (20.1, 0, False), (0, 9.9, True), (0, 10.1, False), (15, 8, False)],
)
def test_a_place_is_inside_by_axes_and_orientation(east, north, held):
    """Twenty metres to the east, ten to the north."""
    fixes = [fix()]

    answer = inside(fixes, offsets_m(fixes, at(east, north)), 0.95)

    assert answer.tolist() == [held]


def test_an_ellipse_without_width_holds_its_own_line():
    """A degenerate one still has two ends."""
    fixes = [fix(semi_minor_m=0.0)] * 2

    answer = inside(fixes, np.array([[15.0, 0.0], [25.0, 0.0]]), 0.95)

    assert answer.tolist() == [True, False]


def test_errors_and_coverage_are_counted():
    """Three places: 5 m, 15 m and 30 m to the east of three equal fixes."""
    fixes = [fix()] * 3

    scores = evaluate(fixes, np.concatenate([at(east, 0) for east in (5, 15, 30)]))

    assert scores.rows == 3
    assert scores.median_error_m == pytest.approx(15, abs=1e-6)
    assert scores.p95_error_m == pytest.approx(28.5, abs=1e-6)
    assert scores.coverage == {0.5: pytest.approx(1 / 3), 0.95: pytest.approx(2 / 3)}
    assert scores.median_area_m2 == pytest.approx(np.pi * 200)


def test_drawn_places_fall_inside_as_often_as_was_promised():
    """Twenty thousand draws from the covariance, both ways of counting."""
    sd_east, sd_north = 10.0, 5.0
    ellipses = tuple(
        ErrorEllipse(level, sd_east * mahalanobis_radius(level), sd_north * mahalanobis_radius(level), 90.0)
        for level in LEVELS
    )
    fixes = [Fix(*PLACE, ((100.0, 0.0), (0.0, 25.0)), LEVELS, ellipses)] * 20_000
    drawn = np.random.default_rng(0).normal(size=(20_000, 2)) * (sd_east, sd_north)
    truth = to_latitude_longitude(np.tile(PLACE, (20_000, 1)), drawn)

    served, chi_square = evaluate(fixes, truth).coverage, chi_square_coverage(fixes, truth)

    for level in LEVELS:
        assert served[level] == pytest.approx(level, abs=0.01)
        assert chi_square[level] == pytest.approx(served[level], abs=1e-3)


@pytest.mark.parametrize("fixes", [0, 1, 3])
def test_there_is_a_true_place_for_every_fix(fixes):
    """One fix was scored against two places."""
    with pytest.raises(
        CalibrationError, match=rf"expected a true place \(2,\) for each of {fixes} fixes, got \(2, 2\)"
    ):
        evaluate([fix()] * fixes, np.full((2, 2), 48.0))


def test_a_level_is_printed_as_it_is():
    scores = Scores(3, 1.0, 2.0, {0.95: 0.94, 0.9999999: 1.0}, 5.0)

    assert scores.to_dict()["coverage"] == {"0.95": 0.94, "0.9999999": 1.0}
    assert str(scores).endswith("95% ellipse holds 94.0%, 99.99999% ellipse holds 100.0%")
