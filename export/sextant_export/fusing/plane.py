"""
From the plane that touches the earth at an origin to latitude and longitude, as a polynomial.

The block solves the geodesic of each row; a graph would need an arc tangent at every turn for that. Within the plane's
100 km the vector that stands upright where the geodesic ends is a polynomial of degree six in east and north to far
less than a millimetre, at any latitude and at the poles too, and so is the turn of the bearing on the way, times the
distance from the earth's axis. Only the last step, from that vector to degrees, is an angle.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from geographiclib.geodesic import Geodesic
from numpy.typing import NDArray

from sextant.fuse import PLANE_RADIUS_M
from sextant.tensors import Floats
from sextant_export.fusing.graph import Value, concat, where
from sextant_export.fusing.trigonometry import bearing

DEGREE = 6
EXACT_M = 1e-6
"""How far the polynomial may be from the geodesic; it is a hundred times nearer."""

_NODES = 2 * DEGREE
_EARTH_RADIUS_M = 6_371_000.0


class Reached(NamedTuple):
    """*position* ``(B, 2)`` in degrees; *along* and *across*, ``(B, 1)``, are cosine and sine of the bearing's turn."""

    position: Value
    along: Value
    across: Value


def reach(origin: Floats, share: Value) -> Reached:
    """Where the points *share* ``(B, 2)``, east and north of *origin* in units of the plane's radius, are."""
    # Without the longitude of the origin, so that what is fitted has no place where it starts again.
    sines, ahead, turned = (_powers(share) @ _coefficients(float(origin[0]))).split(2, 1, 2)
    sine, cosine = turned.columns(2)
    radius = (sine * sine + cosine * cosine).sqrt()
    latitude, longitude = (bearing(sines, concat([radius, ahead])) * (180 / math.pi)).columns(2)
    return Reached(concat([latitude, _wrapped(longitude + float(origin[1]))]), cosine / radius, sine / radius)


def _wrapped(longitude: Value) -> Value:
    """From -180 to 180, 180 excluded, of what is within a turn of that."""
    west = where(longitude < -180.0, longitude + 360.0, longitude)
    return where(west >= 180.0, west - 360.0, west)


def _powers(share: Value) -> Value:
    """Every product of a power of east and one of north, ``(B, (DEGREE + 1) ** 2)``."""
    count = DEGREE + 1
    powers = share.reshape(0, 2, 1) ** np.arange(float(count))
    east, north = powers.reshape(0, 2 * count).split(count, count)
    return (east.reshape(0, count, 1) * north.reshape(0, 1, count)).reshape(0, count * count)


@cache
def _coefficients(latitude: float) -> Floats:
    """
    Of what :func:`_end` gives, by powers of east and north, ``((DEGREE + 1) ** 2, 5)``.

    Fitted at Chebyshev's nodes; the constant is what it is at the origin, and only the rest is a fit.
    """
    nodes = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
    shares = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    centre = _ends(latitude, np.zeros((1, 2)))
    fitted, *_ = np.linalg.lstsq(_products(shares)[:, 1:], _ends(latitude, shares) - centre, rcond=None)
    coefficients: Floats = np.concatenate([centre, fitted])
    _require_exact(latitude, coefficients)
    return coefficients


def _require_exact(latitude: float, coefficients: Floats) -> None:
    """What was not asked when it was fitted must be near too, out to the corners."""
    places = np.linspace(-1, 1, 9)
    shares = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    away = np.abs(_products(shares) @ coefficients - _ends(latitude, shares)).max() * _EARTH_RADIUS_M
    if not away < EXACT_M:
        raise ArithmeticError(f"the plane about latitude {latitude:g} is {away:g} m from its polynomial")


def _products(shares: Floats) -> Floats:
    powers = shares[:, :, None] ** np.arange(DEGREE + 1)
    return np.asarray((powers[:, 0, :, None] * powers[:, 1, None, :]).reshape(len(shares), -1))


def _ends(latitude: float, shares: Floats) -> Floats:
    """The geodesics that leave (*latitude*, 0) for *shares*, as what is fitted is of them, ``(N, 5)``."""
    return np.array([_end(latitude, *point) for point in (shares * PLANE_RADIUS_M).tolist()])


def _end(latitude: float, east: float, north: float) -> NDArray[Any]:
    """The upright vector's three parts, seen from the meridian, and sine and cosine of the turn times its radius."""
    azimuth = math.degrees(math.atan2(east, north))
    end = Geodesic.WGS84.Direct(latitude, 0.0, azimuth, math.hypot(east, north))
    phi, away, turn = (math.radians(angle) for angle in (end["lat2"], end["lon2"], end["azi2"] - end["azi1"]))
    radius = math.cos(phi)
    upright, quarter, ahead = math.sin(phi), radius * math.sin(away), radius * math.cos(away)
    return np.array([upright, quarter, ahead, radius * math.sin(turn), radius * math.cos(turn)])
