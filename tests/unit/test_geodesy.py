from __future__ import annotations

import numpy as np
import pytest
from geographiclib.geodesic import Geodesic

from sextant.covariance import turned
from sextant.errors import CovarianceError, FusionError, ParametersError
from sextant.geodesy import karcher_mean, reach, sight, to_east_north, to_latitude_longitude, transport

WGS84 = Geodesic.WGS84


def origins(rng, n):
    """Places all over the earth, with the poles, the equator and the antimeridian among them."""
    latitude = np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))
    longitude = rng.uniform(-180, 180, n)
    latitude[:4] = [90, -90, 0, 0]
    longitude[4:8] = [180, -180, 179.9999, -179.9999]
    return np.column_stack([latitude, longitude])


@pytest.mark.parametrize("farthest_m", [1.0, 1e3, 1e5, 5e5, 5e6, 1.2e7])
def test_many_at_once_arrive_where_geographiclib_does(farthest_m):
    """To a tenth of a micrometre and more than enough, at any latitude and distance."""
    rng = np.random.default_rng(1)
    start = origins(rng, 200)
    offset = rng.uniform(-1, 1, (200, 2)) * farthest_m / np.sqrt(2)

    end = to_latitude_longitude(start, offset)

    for (lat, lon), (east, north), there in zip(start, offset, end, strict=True):
        here = WGS84.Direct(lat, lon, np.rad2deg(np.arctan2(east, north)), np.hypot(east, north))
        assert WGS84.Inverse(here["lat2"], here["lon2"], *there)["s12"] < 1e-6


@pytest.mark.parametrize("farthest_m", [1e-3, 1.0, 1e3, 1e5, 1e6, 1.2e7, 2.0e7])
def test_there_and_back_again(farthest_m):
    rng = np.random.default_rng(2)
    start = origins(rng, 200)
    offset = rng.uniform(-1, 1, (200, 2)) * farthest_m / np.sqrt(2)

    back = to_east_north(start, to_latitude_longitude(start, offset))

    # At the antipode many geodesics lead there; before it, metres come back to a micrometre.
    assert np.abs(back - offset).max() < (1e-6 if farthest_m < 1.9e7 else 1e-3)


@pytest.mark.parametrize("solve", [reach, sight])
def test_few_and_many_give_the_same(solve):
    """Small batches go through geographiclib and large ones through arrays; nobody may notice."""
    rng = np.random.default_rng(3)
    start = origins(rng, 64)[8:]
    goal = rng.uniform(-5e4, 5e4, start.shape)
    if solve is sight:
        goal = to_latitude_longitude(start, goal)

    together = solve(start, goal)
    alone = [solve(one, other) for one, other in zip(start, goal, strict=True)]

    assert np.abs(together.end - [leg.end for leg in alone]).max() < 1e-8
    turns = together.convergence - [leg.convergence for leg in alone]
    assert np.abs((turns + np.pi) % (2 * np.pi) - np.pi).max() < 1e-8


def test_a_point_that_coincides_has_no_offset_and_no_turn():
    places = np.tile([[48.0, 11.0]], (20, 1))

    leg = sight(places, places)

    assert np.abs(leg.end).max() < 1e-8
    assert np.abs(leg.convergence).max() == 0


@pytest.mark.parametrize("meters", [1e-9, 1e-6])
def test_a_hair_apart_does_not_turn_a_covariance(meters):
    """The difference of two bearings between points that nearly coincide is noise, and must not be used."""
    places = np.tile([[48.0, 11.0]], (20, 1))

    leg = sight(places, to_latitude_longitude(places, np.full((20, 2), meters)))

    assert np.abs(leg.convergence).max() < 1e-8


def test_half_way_round_the_earth_is_still_found():
    rng = np.random.default_rng(4)
    start = origins(rng, 50)[8:]
    antipode = np.column_stack([-start[:, 0] + 0.1, start[:, 1] + 180.1])

    offset = to_east_north(start, antipode)

    for here, there, metres in zip(start, antipode, np.hypot(*offset.T), strict=True):
        assert metres == pytest.approx(WGS84.Inverse(*here, *there)["s12"], rel=1e-9)


def test_bearings_converge_across_a_degree_of_longitude():
    """1.8 degrees of longitude at 60 degrees north turn a covariance by 1.559 degrees."""
    leg = sight((60.0, 0.0), (60.0, 1.8))

    assert np.rad2deg(leg.convergence) == pytest.approx(1.559, abs=1e-3)


def test_across_the_pole_east_is_west():
    across = transport([[4.0, 1.0], [1.0, 2.0]], (89.999, 0.0), (89.999, 90.0))

    assert across == pytest.approx(np.array([[2.0, -1.0], [-1.0, 4.0]]), abs=1e-3)


def test_transport_there_and_back_changes_nothing():
    covariance = np.array([[400.0, 30.0], [30.0, 100.0]])

    there = transport(covariance, (60.0, 10.0), (61.0, 14.0))
    back = transport(there, (61.0, 14.0), (60.0, 10.0))

    assert np.abs(there - covariance).max() > 1
    assert back == pytest.approx(covariance, rel=1e-12)


def test_turning_keeps_trace_and_determinant():
    covariance = np.array([[400.0, 30.0], [30.0, 100.0]])

    rotated = turned(covariance, np.float64(0.7))

    assert np.trace(rotated) == pytest.approx(500)
    assert np.linalg.det(rotated) == pytest.approx(np.linalg.det(covariance))


@pytest.mark.parametrize(
    ("positions", "mean"),
    [
        ([[10, 179.999], [10, -179.999]], [10.000000002, 180]),
        ([[89.999, 0], [89.999, 180]], [90, None]),
        ([[48.137, 11.575]], [48.137, 11.575]),
    ],
    ids=["antimeridian", "pole", "alone"],
)
def test_the_mean_is_in_the_middle(positions, mean):
    weights = np.full(len(positions), 1 / len(positions))

    latitude, longitude = karcher_mean(positions, weights)

    assert latitude == pytest.approx(mean[0], abs=1e-8)
    if mean[1] is not None:
        assert abs(longitude) == pytest.approx(mean[1], abs=1e-8)


def test_from_the_mean_the_weighted_offsets_cancel():
    rng = np.random.default_rng(5)
    positions = np.array([60.0, 179.0]) + rng.uniform(-5, 5, (30, 4, 2))
    weights = np.array([0.4, 0.3, 0.2, 0.1])

    mean = karcher_mean(positions, weights)

    offsets = to_east_north(mean[:, None], positions)
    assert np.abs(np.einsum("m,bmi->bi", weights, offsets)).max() < 1e-6


def test_members_all_over_the_earth_have_no_mean():
    """Steps toward it circle for ever; whoever asks is told instead of waiting."""
    places = [[-55.0, -49.0], [9.0, -142.0], [-24.0, 46.0], [20.0, 154.0], [-37.0, -21.0], [62.0, 164.0]]

    with pytest.raises(FusionError, match="no mean"):
        karcher_mean(places, np.full(6, 1 / 6))


@pytest.mark.parametrize(
    "bad", [(95.0, 11.0), (np.nan, 11.0), (48.0, np.inf), (48.0, 361.0), ("48", "11"), (48.0, 11.0, 0.0)]
)
def test_what_is_no_place_is_refused(bad):
    """Beyond a pole there is nothing, and NaN came out of it without a word."""
    said = "expected latitudes (within 90 degrees )?and longitudes"

    for refusing in (
        lambda: to_latitude_longitude(bad, (1.0, 1.0)),
        lambda: to_east_north(bad, (48.0, 11.0)),
        lambda: to_east_north((48.0, 11.0), bad),
        lambda: transport(np.eye(2), bad, (48.0, 11.0)),
        lambda: transport(np.eye(2), (48.0, 11.0), bad),
        lambda: karcher_mean([bad, bad], [0.5, 0.5]),
    ):
        with pytest.raises(ParametersError, match=said):
            refusing()


def test_metres_that_are_none_are_refused():
    with pytest.raises(ParametersError, match="east_north: expected finite metres, got nan"):
        to_latitude_longitude((48.0, 11.0), (np.nan, 0.0))


@pytest.mark.parametrize("covariance", [[[4, 1], [0, 4]], [[np.nan, 0], [0, 1]], [[1, 2], [2, 1]]])
def test_what_is_no_covariance_is_not_carried(covariance):
    with pytest.raises(CovarianceError, match="covariance (is not|has a negative)"):
        transport(covariance, (48.0, 11.0), (48.0, 12.0))
