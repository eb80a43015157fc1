"""
Between latitude and longitude and metres on the WGS84 ellipsoid.

Theory of operation.  Everything here is the exponential map and its inverse: a plane of east and north
metres touches the ellipsoid at an origin, and a point of the plane is the end of the geodesic that leaves
the origin on its bearing for its distance.  A ring of points about the origin therefore keeps its
distances, at any latitude and across the antimeridian; no degree is ever taken for a length, no longitude
is averaged.

Along a geodesic the bearing changes.  That change, the *convergence*, is what a covariance has to be turned
by when it is carried from one end to the other, and it comes with every solution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from geographiclib.geodesic import Geodesic
from numpy.typing import ArrayLike

from sextant import geodesic
from sextant.arrays import real
from sextant.covariance import checked_covariance, turned
from sextant.errors import FusionError, ParametersError
from sextant.plane import normalised
from sextant.tensors import Floats, Mask

# No place is farther from another, along the shortest way: half a meridian and the other half.
FARTHEST_M = 20_003_931.46

# geographiclib takes some 20 us a point, NumPy some 100-300 us a call however many the points.
_FEW = 6
# Karcher's iteration contracts by (spread / earth radius)^2: a step this short leaves nothing to do.
STILL_M = 1e-6
_STEPS = 100


class Leg(NamedTuple):
    """
    Geodesics, one a row.

    *end* is where each ends: in ``reach`` latitude and longitude, in ``sight`` east and north metres.
    *convergence* is the bearing at its end less the bearing at its origin, in radians.
    """

    end: Floats
    convergence: Floats


def to_latitude_longitude(origin: ArrayLike, east_north: ArrayLike) -> Floats:
    """
    Where the points ``(..., 2)``, metres east and north of *origin*, lie: latitude, longitude in degrees.

    *origin* is one latitude and longitude, or one for each point.  ``ParametersError`` for what is no place, or no
    distance.

    >>> to_latitude_longitude((48.0, 11.0), (1000.0, 0.0)).round(6).tolist()
    [47.999999, 11.0134]
    """
    offsets = _pairs(east_north, "east_north", "metres")
    if not np.isfinite(offsets).all():
        raise ParametersError(f"east_north: expected finite metres, got {offsets[~np.isfinite(offsets)][0]:g}")
    return reach(checked_places(origin, "origin"), offsets).end


def to_east_north(origin: ArrayLike, latitude_longitude: ArrayLike) -> Floats:
    """
    How many metres east and north of *origin* the points ``(..., 2)`` lie, along the geodesic to each.

    ``ParametersError`` for what is no place.

    >>> to_east_north((0.0, 179.999), (0.0, -179.999)).round(3).tolist()
    [222.639, 0.0]
    """
    places = checked_places(latitude_longitude, "latitude_longitude")
    return sight(checked_places(origin, "origin"), places).end


def checked_places(places: ArrayLike, name: str) -> Floats:
    """
    *places* ``(..., 2)``, latitude and longitude in degrees; ``ParametersError`` for one that is on no map.

    >>> checked_places((95.0, 11.0), "origin")
    Traceback (most recent call last):
    sextant.errors.ParametersError: origin: expected latitudes within 90 degrees and longitudes within 360, got 95, 11
    """
    found = _pairs(places, name, "latitudes and longitudes")
    if (bad := nowhere(found)).any():
        came = "{:g}, {:g}".format(*found[bad][0])
        raise ParametersError(f"{name}: expected latitudes within 90 degrees and longitudes within 360, got {came}")
    return found


def nowhere(places: Floats) -> Mask:
    """Which of *places* ``(..., 2)``, latitude and longitude in degrees, are on no map."""
    return np.asarray(~((np.abs(places[..., 0]) <= 90) & (np.abs(places[..., 1]) <= 360)))


def reach(origin: ArrayLike, east_north: ArrayLike) -> Leg:
    """The ends, latitude and longitude, of the geodesics that leave *origin* by *east_north* metres."""
    start, offset = _pair(origin, east_north)
    bearing = np.arctan2(offset[..., 0], offset[..., 1])
    distance = np.hypot(offset[..., 0], offset[..., 1])
    if distance.size > _FEW:
        return Leg(*geodesic.direct(start[..., 0], start[..., 1], bearing, distance))
    rows = [
        Geodesic.WGS84.Direct(latitude, longitude, azimuth, metres)
        for (latitude, longitude), azimuth, metres in zip(
            start.reshape(-1, 2).tolist(),
            np.rad2deg(bearing).ravel().tolist(),
            distance.ravel().tolist(),
            strict=True,
        )
    ]
    ends = np.array([(row["lat2"], row["lon2"]) for row in rows]).reshape(start.shape)
    return Leg(ends, _convergence(rows, distance.shape))


def sight(origin: ArrayLike, latitude_longitude: ArrayLike) -> Leg:
    """The ends, metres east and north of *origin*, of the geodesics from it to *latitude_longitude*."""
    start, goal = _pair(origin, latitude_longitude)
    if start[..., 0].size <= _FEW:
        return _sight_few(start, goal)
    east_north, convergence, solved = geodesic.inverse(start[..., 0], start[..., 1], goal[..., 0], goal[..., 1])
    if not solved.all():
        hard = _sight_few(start[~solved], goal[~solved])
        east_north[~solved], convergence[~solved] = hard
    return Leg(east_north, convergence)


def transport(covariance: ArrayLike, origin: ArrayLike, goal: ArrayLike) -> Floats:
    """
    The covariances ``(..., 2, 2)`` at *origin*, as they read in the east and north of *goal*.

    ``CovarianceError`` for what is none, ``ParametersError`` for what is no place.

    >>> transport(np.diag([4.0, 1.0]), (60.0, 0.0), (60.0, 1.8)).round(4).tolist()
    [[3.9978, -0.0816], [-0.0816, 1.0022]]
    """
    leg = sight(checked_places(origin, "origin"), checked_places(goal, "goal"))
    return turned(checked_covariance(covariance), leg.convergence)


def radii_of_curvature(latitude: ArrayLike) -> tuple[Floats, Floats]:
    """
    The radii in metres of the meridian and of the circle across it, at a *latitude* in radians.

    >>> [round(float(radius), 3) for radius in radii_of_curvature(np.pi / 4)]
    [6367381.816, 6388838.29]
    """
    squared = geodesic.ECCENTRICITY_SQUARED
    curved = 1 - squared * np.sin(latitude) ** 2
    across: Floats = geodesic.EQUATORIAL_RADIUS_M / np.sqrt(curved)
    return across * (1 - squared) / curved, across


def karcher_mean(positions: ArrayLike, weights: ArrayLike) -> Floats:
    """
    The weighted mean of latitudes and longitudes ``(..., M, 2)`` on the ellipsoid, ``(..., 2)`` in degrees.

    It is the point from which the weighted sum of the offsets to all of them is nothing.  *weights* ``(..., M)`` are
    brought to sum one.  ``ParametersError`` for what is no place, ``FusionError`` for weights that are none, and for
    positions all round the earth.

    >>> karcher_mean([[10.0, 179.999], [10.0, -179.997]], [0.5, 0.5]).round(6).tolist()
    [10.0, -179.999]
    """
    places = checked_places(positions, "positions")
    return centre_and_legs(places, normalised(weights, places.shape[-2]))[0]


def centre_and_legs(positions: Floats, weights: Floats) -> tuple[Floats, Leg]:
    """The Karcher mean of ``(..., M, 2)`` and the legs from it to each; *weights* ``(..., M)`` sum to one."""
    heaviest = np.argmax(np.broadcast_to(weights, positions.shape[:-1]), axis=-1)
    centre = np.take_along_axis(positions, heaviest[..., None, None], axis=-2)[..., 0, :]
    for _ in range(_STEPS):
        legs = sight(centre[..., None, :], positions)
        step = np.sum(weights[..., None] * legs.end, axis=-2)
        if np.abs(step).max(initial=0.0) < STILL_M:
            return centre, legs
        centre = reach(centre, step).end
    raise FusionError("positions spread over the whole earth have no mean")


def _sight_few(start: Floats, goal: Floats) -> Leg:
    rows = [
        Geodesic.WGS84.Inverse(*here, *there)
        for here, there in zip(start.reshape(-1, 2).tolist(), goal.reshape(-1, 2).tolist(), strict=True)
    ]
    polar = np.array([(np.deg2rad(row["azi1"]), row["s12"]) for row in rows]).reshape(start.shape)
    bearing, distance = polar[..., 0], polar[..., 1]
    east_north = np.stack([distance * np.sin(bearing), distance * np.cos(bearing)], axis=-1)
    return Leg(east_north, _convergence(rows, distance.shape))


def _convergence(rows: list[dict[str, float]], shape: tuple[int, ...]) -> Floats:
    return np.deg2rad([row["azi2"] - row["azi1"] for row in rows]).reshape(shape)


def _pairs(values: ArrayLike, name: str, noun: str) -> Floats:
    pairs = real(values, lambda came: ParametersError(f"{name}: expected {noun}, got {came}"))
    if pairs.shape[-1:] != (2,):
        raise ParametersError(f"{name}: expected {noun} of shape (..., 2), got {pairs.shape}")
    return pairs.astype(np.float64)


def _pair(origin: ArrayLike, points: ArrayLike) -> tuple[Floats, Floats]:
    start, goal = np.asarray(origin, dtype=np.float64), np.asarray(points, dtype=np.float64)
    shape = goal.shape if start.ndim == 1 else np.broadcast_shapes(start.shape, goal.shape)
    return np.broadcast_to(start, shape), np.broadcast_to(goal, shape)
