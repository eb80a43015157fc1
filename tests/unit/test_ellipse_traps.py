"""The traps that well-known libraries fall into when they draw an error ellipse, one test each."""

from __future__ import annotations

import numpy as np
import pytest
from shapely.geometry import shape

from sextant.circular import circular_radius, drms
from sextant.ellipse import confidence_ellipse, mahalanobis_radius, probability_within, small_sample_radius
from sextant.errors import CovarianceError
from sextant.outline import ellipse_outline


def test_two_sigma_is_not_95_percent_of_a_plane():
    assert probability_within(2.0) == pytest.approx(0.864665, abs=1e-6)
    assert mahalanobis_radius(0.95) == pytest.approx(2.4477468307, abs=1e-10)


def test_a_bearing_is_not_the_angle_from_east():
    """The eigenvector of the longer axis points east: 0 degrees for mathematics, 90 for a navigator."""
    assert confidence_ellipse([[400, 0], [0, 100]], 1.0).orientation_deg == 90


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("bearing", [0.0, 1.0, 89.0, 91.0, 179.0])
def test_an_axis_has_no_direction(sign, bearing):
    """An eigenvector may come out either way round; the bearing is that of the line, in [0, 180)."""
    across = np.deg2rad(bearing)
    axis = sign * np.array([np.sin(across), np.cos(across)])

    found = confidence_ellipse(9 * np.outer(axis, axis) + np.eye(2), 1.0).orientation_deg

    assert 0 <= found < 180
    assert found == pytest.approx(bearing, abs=1e-9)


def test_an_indefinite_matrix_is_no_ellipse_though_it_has_singular_values():
    assert np.linalg.svd([[1.0, 2.0], [2.0, 1.0]])[1] == pytest.approx([3, 1])
    with pytest.raises(CovarianceError, match="negative variance"):
        confidence_ellipse([[1, 2], [2, 1]], 1.0)


def test_the_smaller_axis_of_a_thin_ellipse_is_not_a_difference_of_large_numbers():
    """Half of trace less difference gives nothing here, and a worse number for a matrix that is not diagonal."""
    east, north = 1e10, 1e-7
    assert ((east + north) - abs(east - north)) / 2 == 0

    assert confidence_ellipse([[east, 0], [0, north]], 1.0).semi_minor_m == pytest.approx(np.sqrt(north), rel=1e-12)


def test_few_members_say_little_of_their_own_spread():
    """The chi-square ellipse of the spread of five is less than half as long as it has to be."""
    assert small_sample_radius(0.95, 5) / mahalanobis_radius(0.95) == pytest.approx(2.2587, abs=1e-4)


def test_cep_is_no_multiple_of_r95_and_2drms_no_95_percent():
    ratios = [float(circular_radius(0.95, 1.0, minor) / circular_radius(0.5, 1.0, minor)) for minor in (1.0, 0.5, 0.0)]

    assert ratios == pytest.approx([2.0789, 2.3389, 2.9058], abs=1e-4)
    assert 2 * drms(1.0, 1.0) > circular_radius(0.98, 1.0, 1.0)


def test_the_winding_of_an_uncut_ring_says_nothing():
    """Its longitudes jump from 180 to -180: the signed area is negative though the ring is counter-clockwise."""
    geometry = shape(ellipse_outline(-17.0, 179.9, 50_000, 50_000, 0))

    assert [part.exterior.is_ccw for part in geometry.geoms] == [True, True]
    assert geometry.area < 1


@pytest.mark.parametrize("beyond_m", [1e-4, 1e-3, 0.005, 0.02, 0.3])
def test_a_sliver_beyond_the_antimeridian_that_rounds_to_nothing_is_no_ring(beyond_m):
    """A ring whose corners are all one longitude, to seven decimals, is no polygon."""
    longitude = 180 - (1000 - beyond_m) / 111_319.4908

    drawn = shape(ellipse_outline(0.0, longitude, 1000.0, 1000.0, 0.0))

    assert drawn.is_valid
    assert min(part.area for part in getattr(drawn, "geoms", [drawn])) > 0


@pytest.mark.parametrize("minor", [0.0, 1e-9, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("major", [0.2, 10.0, 1e3, 1e5])
def test_a_thin_ring_does_not_touch_itself_once_rounded(major, minor):
    drawn = shape(ellipse_outline(48.0, 11.0, major, minor, 30.0))

    assert drawn.is_valid
    assert drawn.exterior.is_ccw


def test_a_point_is_still_a_shape():
    """Stone Soup's axis ratio divides by nothing here."""
    ellipse = confidence_ellipse(np.zeros((2, 2)), 2.0)

    assert [float(part) for part in ellipse] == [0.0, 0.0, 0.0, True]
    assert shape(ellipse_outline(48.0, 11.0, *(float(part) for part in ellipse[:3]))).is_valid


def test_rounding_is_forgiven_and_flagged_and_nothing_else_is():
    """A smallest eigenvalue of -5e-10 of the largest is rounding: raised to nothing, and the line is flagged."""
    line = confidence_ellipse([[1, 1 + 5e-10], [1 + 5e-10, 1]], 1.0)

    assert line.semi_minor_m == pytest.approx(0, abs=1e-7)
    assert line.degenerate
    with pytest.raises(CovarianceError, match="negative variance"):
        confidence_ellipse([[1, 1 + 5e-9], [1 + 5e-9, 1]], 1.0)
