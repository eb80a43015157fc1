"""
The direct and the inverse geodesic problem on WGS84 for whole arrays at once.

After C. F. F. Karney, "Algorithms for geodesics", Journal of Geodesy 87 (2013): the geodesic is mapped to a
great circle of the auxiliary sphere, and distance and longitude follow by short Fourier series in the third
flattening of the geodesic, at most 0.0017 on this ellipsoid.  Series to the fourth order leave less than
1e-6 m on any geodesic; the tests hold them to geographiclib.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sextant.tensors import Floats

FLATTENING = 1 / 298.257223563
EQUATORIAL_RADIUS_M = 6378137.0
_POLAR_RADIUS_M = EQUATORIAL_RADIUS_M * (1 - FLATTENING)
_THIRD = FLATTENING / (2 - FLATTENING)
ECCENTRICITY_SQUARED = FLATTENING * (2 - FLATTENING)
_SECOND_ECCENTRICITY_SQUARED = ECCENTRICITY_SQUARED / (1 - FLATTENING) ** 2
# Each round of the inverse problem gains a factor of 1/flattening; ten are enough for any that converges
# well.
_ROUNDS = 10
_CONVERGED = 1e-15
# Beyond some 13,000 km convergence slows down, and stops at the antipode.
_FARTHEST_COSINE = -0.5


def direct(latitude: Floats, longitude: Floats, bearing: Floats, distance_m: Floats) -> tuple[Floats, Floats]:
    """
    Where geodesics end, ``(..., 2)`` degrees, and how far their bearing has turned by then, ``(...)``
    radians.

    *latitude* and *longitude* are in degrees, *bearing* in radians.
    """
    sin_beta, cos_beta = _reduced(latitude)
    sin_alpha, cos_alpha = np.sin(bearing), np.cos(bearing)
    sin_alpha0 = sin_alpha * cos_beta
    cos_alpha0 = np.hypot(cos_alpha, sin_alpha * sin_beta)
    sigma1 = np.arctan2(sin_beta, cos_alpha * cos_beta)
    epsilon = _epsilon(cos_alpha0)
    scale, forth, back = _distance_series(epsilon)
    start = _doubled(sigma1)
    tau = sigma1 + _sines(forth, start) + distance_m / (_POLAR_RADIUS_M * scale)
    sigma2 = tau + _sines(back, _doubled(tau))

    sin2, cos2 = np.sin(sigma2), np.cos(sigma2)
    sin_beta2 = cos_alpha0 * sin2
    cos_beta2 = np.hypot(cos_alpha0 * cos2, sin_alpha0)
    latitude2 = np.rad2deg(np.arctan2(sin_beta2, (1 - FLATTENING) * cos_beta2))
    # Of the sines themselves, not of sigma1: at a pole its cosine would be rounding.
    omega1 = np.arctan2(sin_alpha0 * sin_beta, cos_alpha * cos_beta)
    omega = _turn(np.arctan2(sin_alpha0 * sin2, cos2) - omega1)
    lag = _longitude_lag(sin_alpha0, epsilon, sigma2 - sigma1, (start, _doubled(sigma2)))
    longitude2 = longitude + np.rad2deg(omega - lag)
    end = np.stack([latitude2, (longitude2 + 180) % 360 - 180], axis=-1)
    bearing2 = np.arctan2(sin_alpha0, cos_alpha0 * cos2)
    return end, _turn(bearing2 - bearing)


def inverse(
    latitude1: Floats, longitude1: Floats, latitude2: Floats, longitude2: Floats
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """
    Metres east and north ``(..., 2)`` along geodesics, how far their bearing turns, and which were solved.

    All in degrees; the turn is in radians.  Unsolved are those nearly half way round the earth.
    """
    (sin1, cos1), (sin2, cos2) = _reduced(latitude1), _reduced(latitude2)
    longitude = np.deg2rad((longitude2 - longitude1 + 180) % 360 - 180)
    # Nearly right where both ends are close (Karney, eq. 48): then a single round does.
    omega, change = longitude / np.sqrt(1 - ECCENTRICITY_SQUARED * ((cos1 + cos2) / 2) ** 2), np.inf
    for _ in range(_ROUNDS):
        sin_omega, cos_omega = np.sin(omega), np.cos(omega)
        east = cos2 * sin_omega
        north = cos1 * sin2 - sin1 * cos2 * cos_omega
        sine, cosine = np.hypot(east, north), sin1 * sin2 + cos1 * cos2 * cos_omega
        sin_alpha0 = cos1 * np.divide(east, sine, out=np.zeros_like(sine), where=sine > 0)
        epsilon = _epsilon(np.sqrt(1 - sin_alpha0**2))
        sigma1, along = np.arctan2(sin1 * sine, cos1 * north), np.arctan2(sine, cosine)
        ends = _doubled(sigma1), _doubled(sigma1 + along)
        improved = longitude + _longitude_lag(sin_alpha0, epsilon, along, ends)
        change, omega = np.abs(improved - omega), improved
        if change.max(initial=0.0) <= _CONVERGED:
            break
    scale, forth, _ = _distance_series(epsilon)
    arc = along + _sines(forth, ends[1]) - _sines(forth, ends[0])
    # Distance over sine, so that a pair of equal points needs no bearing.
    stretch = np.divide(_POLAR_RADIUS_M * scale * arc, sine, out=np.zeros_like(sine), where=sine > 0)
    east_north = np.stack([east * stretch, north * stretch], axis=-1)
    solved = (change <= 10 * _CONVERGED) & (cosine > _FARTHEST_COSINE)
    return east_north, _napier(sin1, cos1, sin2, cos2, omega), solved


def _napier(sin1: Floats, cos1: Floats, sin2: Floats, cos2: Floats, omega: Floats) -> Floats:
    """
    How far the bearing turns, by Napier's analogy.

    The difference of two bearings would be noise between points that nearly coincide.
    """
    beta1, beta2 = np.arctan2(sin1, cos1), np.arctan2(sin2, cos2)
    opposite = np.sin((beta1 + beta2) / 2) * np.sin(omega / 2)
    turn: Floats = 2 * np.arctan2(opposite, np.cos((beta2 - beta1) / 2) * np.cos(omega / 2))
    return turn


def _reduced(latitude: Floats) -> tuple[Floats, Floats]:
    """Sine and cosine of the reduced latitude."""
    phi = np.deg2rad(latitude)
    sine, cosine = (1 - FLATTENING) * np.sin(phi), np.cos(phi)
    length = np.hypot(sine, cosine)
    return sine / length, cosine / length


def _epsilon(cos_alpha0: Floats) -> Floats:
    """The expansion parameter of the geodesic."""
    squared = _SECOND_ECCENTRICITY_SQUARED * cos_alpha0 * cos_alpha0
    epsilon: Floats = squared / (2 * (1 + np.sqrt(1 + squared)) + squared)
    return epsilon


def _distance_series(e: Floats) -> tuple[Floats, tuple[Floats, ...], tuple[Floats, ...]]:
    """A1, and the coefficients C1 and C1' of arc length as distance and back (Karney, eqs 17, 18, 21)."""
    e2 = e * e
    e3, e4 = e2 * e, e2 * e2
    scale = (1 + e2 / 4 + e4 / 64) / (1 - e)
    forth = (-e / 2 + 3 * e3 / 16, -e2 / 16 + e4 / 32, -e3 / 48, -5 * e4 / 512)
    back = (e / 2 - 9 * e3 / 32, 5 * e2 / 16 - 37 * e4 / 96, 29 * e3 / 96, 539 * e4 / 1536)
    return scale, forth, back


def _longitude_lag(sin_alpha0: Floats, e: Floats, along: Floats, ends: tuple[_Doubled, _Doubled]) -> Floats:
    """By how much longitude on the sphere exceeds that on the ellipsoid *along* an arc (Karney, eqs 8, 24, 25)."""
    n = _THIRD
    scale = 1 - e * ((1 - n) / 2 + e * ((1 + n / 2 - 3 * n * n / 2) / 4 + e * (1 + 3 * n) / 16))
    series = (
        e * ((1 - n) / 4 + e * ((1 - n * n) / 8 + e * 3 * (1 + n) / 64)),
        e * e * ((1 - 3 * n / 2 + n * n / 2) / 16 + e * (3 - 2 * n) / 64),
        e * e * e * (5 - 9 * n) / 192,
    )
    arc: Floats = along + _sines(series, ends[1]) - _sines(series, ends[0])
    return FLATTENING * sin_alpha0 * scale * arc


class _Doubled(NamedTuple):
    """Sine and twice the cosine of twice an angle: what every series in it is summed from."""

    sine: Floats
    twice_cosine: Floats


def _doubled(angle: Floats) -> _Doubled:
    return _Doubled(np.sin(2 * angle), 2 * np.cos(2 * angle))


def _sines(coefficients: tuple[Floats, ...], doubled: _Doubled) -> Floats:
    """The sum of coefficient l times sin(2 l angle), by Clenshaw's recurrence."""
    ahead: Floats = np.zeros_like(doubled.sine)
    beyond = ahead
    for coefficient in reversed(coefficients):
        ahead, beyond = coefficient + doubled.twice_cosine * ahead - beyond, ahead
    total: Floats = ahead * doubled.sine
    return total


def _turn(angle: Floats) -> Floats:
    """The same angle within half a turn of zero."""
    return (angle + np.pi) % (2 * np.pi) - np.pi
