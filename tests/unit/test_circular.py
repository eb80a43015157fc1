from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf

from sextant.circular import circular_probability, circular_radius, drms
from sextant.errors import CovarianceError, ParametersError

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


RATIOS = [1.0, 0.999999, 0.9, 0.3, 0.1, 0.01, 1e-3, 1e-4, 1e-6, 1e-9]


def within(radius, minor):
    """Another way there: SciPy's quadrature across the strips of the circle; *radius* over the longer deviation."""

    def strip(angle):
        height = radius * np.cos(angle)
        return np.exp(-((radius * np.sin(angle)) ** 2) / 2) * erf(height / (minor * np.sqrt(2))) * height

    # Where the strips are about as high as the shorter deviation, they have to be cut finer.
    edges = [0.0, *(np.arccos(min(height * minor / radius, 1.0)) for height in (8, 1)), np.pi / 2]
    total = sum(quad(strip, *piece, epsrel=1e-11, epsabs=1e-16, limit=200)[0] for piece in pairwise(edges))
    return 2 * total / np.sqrt(2 * np.pi)


@pytest.mark.parametrize("minor", RATIOS)
@pytest.mark.parametrize("level", [0.001, 0.05, 0.5, 0.9, 0.95, 0.99, 0.9999])
def test_radii_are_those_of_an_independent_quadrature(level, minor):
    radius = float(circular_radius(level, 1.0, minor))

    assert within(radius, minor) == pytest.approx(level, rel=1e-9)


@pytest.mark.parametrize("minor", [0.0, 1e-6, 0.01])
@pytest.mark.parametrize("level", [1e-6, 0.01, 0.5, 0.9, 0.95, 0.99])
def test_a_thin_ellipse_is_a_line_seen_from_far(level, minor):
    """Also where the circle is small against the longer axis and a plain mean over the angle sees no spike."""
    radius = float(circular_radius(level, 1.0, minor))

    if minor < radius / 1000:
        assert erf(radius / np.sqrt(2)) == pytest.approx(level, rel=1e-5)
    assert circular_probability(radius, 1.0, minor) == pytest.approx(level, rel=1e-12)


def test_a_circle_much_smaller_than_both_axes_holds_its_share_of_the_peak():
    assert circular_probability(1e-9, 1.0, 1e-6) == pytest.approx(1e-18 / 2e-6, rel=1e-6)


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


@pytest.mark.parametrize("radius", [-1.0, np.nan, [1.0, -1.0]])
def test_a_radius_is_no_less_than_nothing(radius):
    """The circle of -1 m held 39 %."""
    with pytest.raises(ParametersError, match="expected a radius of 0 or more"):
        circular_probability(radius, 1.0, 1.0)


def test_levels_come_many_at_once():
    many = circular_radius([[0.5], [0.95]], [1.0, 2.0], [1.0, 0.5])

    each = [[circular_radius(level, *axes) for axes in ((1.0, 1.0), (2.0, 0.5))] for level in (0.5, 0.95)]
    assert many == pytest.approx(np.array(each), rel=1e-14)
