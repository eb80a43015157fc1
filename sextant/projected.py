"""
A projected grid on the earth, without the library that knows grids.

Theory of operation.  At export time pyproj is asked where the points of a grid lie, and the answer is kept as a
polynomial: a tensor product of Chebyshev polynomials in easting and northing whose values are the *normal* of the
ellipsoid, a unit vector, at the point.  Latitude and longitude jump at poles and the antimeridian; their normal does
not, so that one polynomial serves a whole grid to less than a millimetre.

The polynomial's derivatives say how far a unit of the grid is on the ground, east and north: what a covariance given
along the grid has to be multiplied by.  They hold the grid's scale, which for Web Mercator is 1.3 in the middle of
Spain, and the angle between grid north and true north.

A matrix of coefficients is the sum of few products of a polynomial in easting and one in northing, for projections are
smooth in a simple way: of one product for Web Mercator, of five for a UTM zone, where the matrix has 18 x 61 and 8 x 11
entries.  Its singular value decomposition finds them (A. Townsend and L. N. Trefethen, An extension of Chebfun to two
dimensions, SIAM J. Sci. Comput. 35, 2013), and they are what is evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from sextant.errors import ParametersError
from sextant.geodesy import radii_of_curvature
from sextant.parameters import numbers
from sextant.tensors import Floats, Mask

# Some megabytes of polynomials at a time.
_CHUNK = 8192
# What is left out of a normal, which is one long: less than a thousandth of a millimetre on the ground.
_NEGLIGIBLE = 1e-13


class Ground(NamedTuple):
    """
    Points of a grid on the earth.

    *position* ``(N, 2)`` is latitude and longitude in degrees; *jacobian* ``(N, 2, 2)`` is how many metres east and
    north (rows) a unit of easting and of northing (columns) is there.
    """

    position: Floats
    jacobian: Floats


class Projection:
    """
    The grid of one coordinate reference system, from its *parameters*.

    ``easting`` and ``northing`` are the ends of its domain in its own units, ``normals`` ``(m, n, 3)`` the Chebyshev
    coefficients of the normal over it.  ``ParametersError`` names what is wrong.

    >>> normals = [[[1, 0, 0], [0, 0, 1e-3]], [[0, 1e-3, 0], [0, 0, 0]]]
    >>> grid = Projection({"easting": [-1, 1], "northing": [-1, 1], "normals": normals})
    >>> ground = grid.ground(np.array([[0.0, 0.5]]))
    >>> ground.position.round(6).tolist(), ground.jacobian.round().tolist()
    ([[0.028648, 0.0]], [[[6378.0, 0.0], [0.0, 6335.0]]])
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.easting, self.northing = _ends(parameters, "easting"), _ends(parameters, "northing")
        normals = np.moveaxis(numbers(parameters, "normals", (-1, -1, 3)), -1, 0)
        along, across = _factors(normals)
        self._along = np.concatenate([along, along @ _derivative(along.shape[-1], self.easting)])
        self._across = np.concatenate([across, across @ _derivative(across.shape[-1], self.northing)])

    def outside(self, points: Floats) -> Mask:
        """Which of the points ``(N, 2)``, easting and northing, lie where the grid is not known."""
        low, high = np.transpose((self.easting, self.northing))
        outside: Mask = np.any((points < low) | (points > high), axis=-1)
        return outside

    def ground(self, points: Floats) -> Ground:
        """Where the points ``(N, 2)``, easting and northing, lie, and how far a unit is there."""
        pieces = [self._piece(points[i : i + _CHUNK]) for i in range(0, max(len(points), 1), _CHUNK)]
        return Ground(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))

    def _piece(self, points: Floats) -> Ground:
        along, rise_along = _values(self._along, points[:, 0], self.easting)
        across, rise_across = _values(self._across, points[:, 1], self.northing)
        return _ground(_sum(along, across), _sum(rise_along, across), _sum(along, rise_across))


def _factors(normals: Floats) -> tuple[Floats, Floats]:
    """Polynomials ``(3, r, m)`` and ``(3, r, n)`` whose products add up to those with coefficients ``(3, m, n)``."""
    along, sizes, across = np.linalg.svd(normals, full_matrices=False)
    left_out = np.cumsum(sizes[:, ::-1], axis=-1)[:, ::-1]
    rank = max(1, int(np.sum(left_out > _NEGLIGIBLE, axis=-1).max()))
    return np.swapaxes(along * sizes[:, None, :], -1, -2)[:, :rank], across[:, :rank]


def _values(factors: Floats, places: Floats, ends: tuple[float, float]) -> Floats:
    """The factors and their derivatives ``(2, 3, r, N)`` at *places* ``(N,)``, from coefficients ``(6, r, m)``."""
    (low, high), size = ends, factors.shape[-1]
    values = factors.reshape(-1, size) @ polynomials((2 * places - low - high) / (high - low), size)
    return values.reshape(2, 3, factors.shape[1], len(places))


def _sum(along: Floats, across: Floats) -> Floats:
    """The products of factors ``(3, r, N)``, added up."""
    total: Floats = np.sum(along * across, axis=1)
    return total


def _ground(up: Floats, rise_east: Floats, rise_north: Floats) -> Ground:
    """From the normals ``(3, N)`` and their derivatives along the grid."""
    level = np.hypot(up[0], up[1])
    latitude, longitude = np.arctan2(up[2], level), np.arctan2(up[1], up[0])
    sin, cos = np.sin(latitude), np.cos(latitude)
    sine, cosine = np.sin(longitude), np.cos(longitude)
    along_meridian, across_meridian = radii_of_curvature(latitude)
    jacobian = np.empty((up.shape[1], 2, 2))
    for column, rise in enumerate((rise_east, rise_north)):
        jacobian[:, 0, column] = across_meridian * (cosine * rise[1] - sine * rise[0])
        jacobian[:, 1, column] = along_meridian * (cos * rise[2] - sin * (cosine * rise[0] + sine * rise[1]))
    return Ground(np.rad2deg(np.stack([latitude, longitude], axis=-1)), jacobian)


def polynomials(x: Floats, size: int) -> Floats:
    """
    The first *size* Chebyshev polynomials ``(size, N)`` at *x* ``(N,)``.

    >>> polynomials(np.array([0.5]), 4)[:, 0].tolist()
    [1.0, 0.5, -0.5, -1.0]
    """
    rows, twice = np.ones((max(size, 2), len(x))), 2 * x
    rows[1] = x
    for degree in range(2, size):
        np.multiply(twice, rows[degree - 1], out=rows[degree])
        rows[degree] -= rows[degree - 2]
    return rows[:size]


def _derivative(size: int, ends: tuple[float, float]) -> Floats:
    """
    The matrix by which coefficients ``(..., size)`` of Chebyshev polynomials become their derivative's, by the grid's
    own unit.

    That of the k-th is 2 k times the sum of those below it that are even where it is odd, half of it for the lowest.
    """
    above, below = np.indices((size, size))
    slopes = np.where((below < above) & ((above - below) % 2 == 1), 2.0 * above, 0.0)
    slopes[:, 0] /= 2
    return slopes * 2 / (ends[1] - ends[0])


def _ends(parameters: Mapping[str, Any], key: str) -> tuple[float, float]:
    low, high = numbers(parameters, key, (2,)).tolist()
    if not low < high:
        raise ParametersError(f"{key}: expected the smaller end first, got {[low, high]}")
    return low, high
