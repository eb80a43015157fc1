from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from geographiclib.geodesic import Geodesic
from shapely import is_valid_reason
from shapely.geometry import shape

from sextant.ellipse import confidence_ellipse, mahalanobis_radius
from sextant.errors import ParametersError
from sextant.geodesy import to_east_north, to_latitude_longitude
from sextant.outline import bounding_box, ellipse_outline, polygon_vertices


def rings(geometry):
    """The exterior rings, as arrays of longitude and latitude."""
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    return [np.array(polygon[0]) for polygon in polygons]


def map_area(ring):
    east, north = (ring - ring[0]).T
    return np.sum(east[:-1] * north[1:] - east[1:] * north[:-1]) / 2


def earth_area_m2(ring):
    """By geographiclib; edges along a meridian or a pole are geodesics too, and the rest nearly."""
    polygon = Geodesic.WGS84.Polygon()
    for longitude, latitude in ring[:-1]:
        polygon.AddPoint(latitude, longitude)
    return polygon.Compute(reverse=False, sign=True)[2]


def side(a, b, c):
    return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])


def assert_valid(geometry):
    assert shape(geometry).is_valid, is_valid_reason(shape(geometry))
    for ring in rings(geometry):
        assert len(ring) >= 4
        assert (ring[0] == ring[-1]).all()
        assert np.abs(ring[:, 0]).max() <= 180
        assert np.abs(ring[:, 1]).max() <= 90
        assert np.any(ring[1:] != ring[:-1], axis=1).all()
        assert map_area(ring) > 0, "clockwise"


def random_ellipses(n, longest_m):
    rng = np.random.default_rng(11)
    latitude = np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))
    latitude[::5] = rng.choice([-1, 1], latitude[::5].shape) * rng.uniform(88, 90, latitude[::5].shape)
    longitude = rng.uniform(-180, 180, n)
    longitude[::3] = (180 + rng.uniform(-1, 1, longitude[::3].shape) + 180) % 360 - 180
    major = 10 ** rng.uniform(0, np.log10(longest_m), n)
    minor = np.maximum(major * 10 ** rng.uniform(-3, 0, n), 0.5)
    return np.column_stack([latitude, longitude, np.maximum(major, minor), minor, rng.uniform(0, 180, n)])


def test_any_ellipse_is_valid_counter_clockwise_and_as_large_as_it_says():
    """At any place, pole and antimeridian included, from a metre to 300 km."""
    for ellipse in random_ellipses(400, 300_000):
        geometry = ellipse_outline(*ellipse.tolist())

        assert_valid(geometry)
        if ellipse[3] > 100:
            area = sum(earth_area_m2(ring) for ring in rings(geometry))
            assert area == pytest.approx(np.pi * ellipse[2] * ellipse[3], rel=1e-3), ellipse


@pytest.mark.parametrize(
    ("place", "axes", "vertices"),
    [
        ((48, 11), (1000, 500, 30), [(48.00778847, 11.00670114), (48.00224825, 10.99419726)]),
        ((-17, 179.9), (50_000, 20_000, 90), [(-16.99945875, -179.63045486), (-16.81927974, 179.9)]),
        ((89.9, 20), (50_000, 30_000, 0), [(89.65234825, -160.0), (89.71339736, -49.57918063)]),
        ((60, -150), (250_000, 100_000, 120), [(58.82306675, -146.25054232), (59.21967568, -150.87552046)]),
    ],
)
def test_vertices_lie_on_the_ellipse_but_for_the_inflation(place, axes, vertices):
    """The drawn polygon is larger by what an inscribed one would lose; taken back, each vertex is exact."""
    drawn = np.vstack(rings(ellipse_outline(*place, *axes)))
    offsets = to_east_north(place, drawn[:, ::-1])
    inflation = 1 / np.sqrt(np.sin(2 * np.pi / 128) * 128 / (2 * np.pi))

    for vertex in vertices:
        wanted = to_east_north(place, vertex) * inflation
        assert np.hypot(*(offsets - wanted).T).min() < 0.02


def test_at_the_antimeridian_the_ellipse_falls_into_two():
    geometry = ellipse_outline(-17.0, 179.9, 50_000, 20_000, 90)

    east, west = sorted(rings(geometry), key=lambda ring: ring[:, 0].max())
    assert geometry["type"] == "MultiPolygon"
    assert (east[:, 0].min(), west[:, 0].max()) == (-180, 180)
    assert east[:, 0].max() == pytest.approx(-179.6304, abs=2e-4)
    assert west[:, 0].min() == pytest.approx(179.4305, abs=2e-4)
    assert_valid(geometry)


def test_an_ellipse_that_touches_the_antimeridian_is_not_turned_inside_out():
    """The signed area of its uncut ring is -126 square degrees, though it is counter-clockwise."""
    geometry = ellipse_outline(-17.0, 179.9, 50_000, 50_000, 0)

    assert sum(earth_area_m2(ring) for ring in rings(geometry)) == pytest.approx(np.pi * 50_000**2, rel=1e-3)


@pytest.mark.parametrize(
    ("lat", "lon", "major", "minor", "pole"),
    [(89.9, 20, 50_000, 30_000, 90), (-89.95, 170, 100_000, 100_000, -90), (90, 0, 1000, 1000, 90)],
)
def test_about_a_pole_it_spans_every_longitude(lat, lon, major, minor, pole):
    geometry = ellipse_outline(lat, lon, major, minor, 0)

    (ring,) = rings(geometry)
    assert geometry["type"] == "Polygon"
    assert (ring[:, 0].min(), ring[:, 0].max()) == (-180, 180)
    assert pole in ring[:, 1]
    assert_valid(geometry)
    assert earth_area_m2(ring) == pytest.approx(np.pi * major * minor, rel=2e-3)


@pytest.mark.parametrize("major", [0.0, 1.0, 1e3, 1e5])
@pytest.mark.parametrize("place", [(48.0, 11.0), (89.9999, 0.0), (0.0, 180.0)], ids=str)
def test_an_ellipse_too_thin_to_draw_is_drawn_half_a_metre_wide(major, place):
    """Rounded to seven decimals a thinner ring would touch itself."""
    geometry = ellipse_outline(*place, major, 0.0, 30.0)

    assert_valid(geometry)


def test_beyond_a_hemisphere_it_is_the_whole_earth():
    (ring,) = rings(ellipse_outline(10.0, 20.0, 1.5e7, 1e6, 45))

    assert map_area(ring) == 360 * 180


def test_what_comes_to_a_hemisphere_only_when_drawn_is_the_whole_earth_too():
    """A line from pole to pole, whose vertices stand a little outside it, has no area on the map."""
    (ring,) = rings(outline := ellipse_outline(0.0, 180.0, 10_001_964.0, 10.0, 0.0))

    assert map_area(ring) == 360 * 180
    assert bounding_box(outline) == [-180.0, -90.0, 180.0, 90.0]


@pytest.mark.parametrize("major", [1e6, 5e6, 9.9e6])
@pytest.mark.parametrize("latitude", [0.0, 60.0, -85.0])
def test_an_ellipse_of_a_continent_is_still_a_polygon(major, latitude):
    assert_valid(ellipse_outline(latitude, 170.0, major, major / 3, 70))


@pytest.mark.parametrize("latitude", [0.0, 30.0, 60.0, 85.0, 89.0, 89.9])
@pytest.mark.parametrize("major", [1.0, 1e3, 1e5, 5e5])
def test_a_vertex_is_where_geographiclib_sees_it_within_a_millimetre(latitude, major):
    """By the formulas of an ellipse and the geodesic from its middle, before rounding."""
    along, across = 2 * np.pi * np.arange(128) / 128, np.deg2rad(35.0)
    grown = 1 / np.sqrt(np.sin(2 * np.pi / 128) * 128 / (2 * np.pi))
    u, v = grown * major * np.cos(along), grown * major / 3 * np.sin(along)
    east, north = u * np.sin(across) - v * np.cos(across), u * np.cos(across) + v * np.sin(across)

    drawn = to_latitude_longitude((latitude, 179.5), polygon_vertices(major, major / 3, 35.0, 128))

    for place, azimuth, metres in zip(drawn, np.rad2deg(np.arctan2(east, north)), np.hypot(east, north), strict=True):
        exact = Geodesic.WGS84.Direct(latitude, 179.5, azimuth, metres)
        assert Geodesic.WGS84.Inverse(*place, exact["lat2"], exact["lon2"])["s12"] < 1e-3


def test_a_box_is_that_of_the_whole_outline():
    alone, around = (ellipse_outline(*place, 50_000, 30_000, 0) for place in ((48.0, 11.0), (89.9, 20.0)))

    west, south, east, north = bounding_box(alone)
    assert west < 11 < east
    assert south < 48 < north
    assert bounding_box(around)[::2] == [-180, 180]
    assert bounding_box(around)[3] == 90


@pytest.mark.parametrize(
    ("ellipse", "said"),
    [
        ((91.0, 0.0, 2.0, 1.0, 0.0), "expected a latitude within 90 degrees and a longitude, got 91.0"),
        ((float("nan"), 0.0, 2.0, 1.0, 0.0), "expected a latitude"),
        ((0.0, float("inf"), 2.0, 1.0, 0.0), "and a longitude, got 0.0, inf"),
        ((0.0, 0.0, 1.0, 2.0, 0.0), "the longer first, and a bearing, got 1.0, 2.0 and 0.0"),
        ((0.0, 0.0, float("nan"), 1.0, 0.0), "finite axes in metres"),
        ((0.0, 0.0, float("inf"), 1.0, 0.0), "finite axes in metres"),
        ((0.0, 0.0, 2.0, -1.0, 0.0), "finite axes in metres"),
        ((0.0, 0.0, 2.0, 1.0, float("nan")), "and a bearing, got 2.0, 1.0 and nan"),
    ],
)
def test_what_is_no_ellipse_is_not_drawn(ellipse, said):
    with pytest.raises(ParametersError, match=said):
        ellipse_outline(*ellipse)


@pytest.mark.parametrize("vertices", [16, 64, 128])
def test_the_polygon_holds_the_area_of_the_ellipse_whatever_its_vertices(vertices):
    (ring,) = rings(ellipse_outline(0.0, 0.0, 2000.0, 1000.0, 20.0, vertices=vertices))

    assert len(ring) == vertices + 1
    assert earth_area_m2(ring) == pytest.approx(np.pi * 2e6, rel=1e-5)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_the_drawn_polygon_holds_the_stated_share(level):
    """A hundred thousand draws; point in polygon in the plane of the fix."""
    covariance = np.array([[250.0, -150.0], [-150.0, 250.0]])
    ellipse = confidence_ellipse(covariance, mahalanobis_radius(level))
    (ring,) = rings(ellipse_outline(48.0, 11.0, *(float(part) for part in ellipse[:3])))
    polygon = to_east_north((48.0, 11.0), ring[:, ::-1])
    draws = np.random.default_rng(3).multivariate_normal([0, 0], covariance, 100_000)

    inside = np.ones(len(draws), dtype=bool)
    for start, end in pairwise(polygon):  # convex: left of every edge
        inside &= side(start, end, draws) >= 0

    assert inside.mean() == pytest.approx(level, abs=3 * np.sqrt(level * (1 - level) / 100_000))


@pytest.mark.parametrize("vertices", [2, 7, 0, -8, 3.5, 128.0, True, "64"])
def test_a_polygon_has_eight_vertices_at_least(vertices):
    """Of two, inflated to an ellipse's area, the whole earth was drawn."""
    with pytest.raises(ParametersError, match="vertices: expected a whole number from 8 on, got"):
        ellipse_outline(0.0, 0.0, 2000.0, 1000.0, 20.0, vertices=vertices)
