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
from sextant.covariance import turned
from sextant.errors import FusionError
from sextant.tensors import Floats

# geographiclib takes some 20 us a point, NumPy some 100-300 us a call however many the points.
_FEW = 6
# Karcher's iteration contracts by (spread / earth radius)^2: a step this short leaves nothing to do.
_STILL_M = 1e-6
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

    *origin* is one latitude and longitude, or one for each point.

    >>> to_latitude_longitude((48.0, 11.0), (1000.0, 0.0)).round(6).tolist()
    [47.999999, 11.0134]
    """
    return reach(origin, east_north).end


def to_east_north(origin: ArrayLike, latitude_longitude: ArrayLike) -> Floats:
    """
    How many metres east and north of *origin* the points ``(..., 2)`` lie, along the geodesic to each.

    >>> to_east_north((0.0, 179.999), (0.0, -179.999)).round(3).tolist()
    [222.639, 0.0]
    """
    return sight(origin, latitude_longitude).end


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

    >>> transport(np.diag([4.0, 1.0]), (60.0, 0.0), (60.0, 1.8)).round(4).tolist()
    [[3.9978, -0.0816], [-0.0816, 1.0022]]
    """
    return turned(np.asarray(covariance, dtype=np.float64), sight(origin, goal).convergence)


def karcher_mean(positions: ArrayLike, weights: ArrayLike) -> Floats:
    """
    The weighted mean of latitudes and longitudes ``(..., M, 2)`` on the ellipsoid, ``(..., 2)`` in degrees.

    It is the point from which the weighted sum of the offsets to all of them is nothing.

    >>> karcher_mean([[10.0, 179.999], [10.0, -179.997]], [0.5, 0.5]).round(6).tolist()
    [10.0, -179.999]
    """
    return centre_and_legs(np.asarray(positions, dtype=np.float64), np.asarray(weights, dtype=np.float64))[0]


def centre_and_legs(positions: Floats, weights: Floats) -> tuple[Floats, Leg]:
    """The Karcher mean of ``(..., M, 2)`` and the legs from it to each; *weights* ``(..., M)`` sum to one."""
    heaviest = np.argmax(np.broadcast_to(weights, positions.shape[:-1]), axis=-1)
    centre = np.take_along_axis(positions, heaviest[..., None, None], axis=-2)[..., 0, :]
    for _ in range(_STEPS):
        legs = sight(centre[..., None, :], positions)
        step = np.sum(weights[..., None] * legs.end, axis=-2)
        if np.abs(step).max(initial=0.0) < _STILL_M:
            return centre, legs
        centre = to_latitude_longitude(centre, step)
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


def _pair(origin: ArrayLike, points: ArrayLike) -> tuple[Floats, Floats]:
    start, goal = np.asarray(origin, dtype=np.float64), np.asarray(points, dtype=np.float64)
    shape = goal.shape if start.ndim == 1 else np.broadcast_shapes(start.shape, goal.shape)
    return np.broadcast_to(start, shape), np.broadcast_to(goal, shape)
