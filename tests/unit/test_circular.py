from __future__ import annotations

import numpy as np
import pytest

from sextant.circular import circular_probability, circular_radius, drms
from sextant.errors import CovarianceError

EXACT = [
    # sd_minor, CEP, R90, R95, R99, P(DRMS), P(2 DRMS), for sd_major 1
    (1.0, 1.1774100225, 2.1459660263, 2.4477468307, 3.0348542588, 0.6321205586, 0.9816843611),
    (0.75, 1.0270906088, 1.9033493636, 2.1858019224, 2.7491616059, 0.6392832778, 0.9788712543),
    (0.5, 0.8704174282, 1.7370799343, 2.0358587203, 2.6325667550, 0.6629749363, 0.9698434695),
    (0.1, 0.6819850883, 1.6479116062, 1.9625295968, 2.5777809445, 0.6826647885, 0.9553003906),
    (0.0, 0.6744897502, 1.6448536270, 1.9599639845, 2.5758293035, 0.6826894921, 0.9544997361),
]


@pytest.mark.parametrize("row", EXACT, ids=lambda row: f"ratio {row[0]}")
def test_circles_are_exact_for_any_ratio_of_the_axes(row):
    minor, *radii = row[:5]

    found = [circular_radius(level, 1.0, minor) for level in (0.5, 0.9, 0.95, 0.99)]

    assert found == pytest.approx(radii, rel=1e-8)


@pytest.mark.parametrize("row", EXACT, ids=lambda row: f"ratio {row[0]}")
def test_drms_is_a_length_of_no_fixed_probability(row):
    minor, within, within_twice = row[0], *row[5:]

    radius = drms(1.0, minor)

    assert circular_probability(radius, 1.0, minor) == pytest.approx(within, rel=1e-8)
    assert circular_probability(2 * radius, 1.0, minor) == pytest.approx(within_twice, rel=1e-8)


def test_a_circle_scales_with_its_axes_and_takes_a_batch():
    radii = circular_radius(0.95, [1.0, 1000.0], [0.5, 500.0])

    assert radii[1] == pytest.approx(1000 * radii[0], rel=1e-12)


def test_a_point_is_within_any_circle():
    assert circular_probability(0.0, 0.0, 0.0) == 1.0
    assert circular_radius(0.5, 0.0, 0.0) == 0.0


@pytest.mark.parametrize(("major", "minor"), [(1.0, 2.0), (1.0, -0.1), (np.nan, 0.0), (np.inf, 1.0)])
def test_axes_that_are_none_are_refused(major, minor):
    with pytest.raises(CovarianceError, match="deviations"):
        circular_radius(0.5, major, minor)
