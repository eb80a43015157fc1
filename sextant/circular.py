"""
Circles about a Gaussian fix: CEP, R95 and their like, exact and for any ratio of the axes.

With the point written as a Rayleigh radius times an ellipse, the probability outside a circle is the mean
over the ellipse's angle of exp(-R^2 / 2 s^2), s being the deviation in that direction: a smooth periodic
function, whose mean over equal angles converges faster than any power of their number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sextant.ellipse import mahalanobis_radius
from sextant.errors import CovarianceError
from sextant.tensors import Floats

_ANGLES = 512
_HALVINGS = 60


def circular_probability(radius_m: ArrayLike, sd_major_m: ArrayLike, sd_minor_m: ArrayLike) -> Floats:
    """
    The probability that a Gaussian with these deviations along its axes lies within *radius_m* of its mean.

    The 2 DRMS circle is not a 95 % circle, but anything from 95.4 to 98.2 %:

    >>> circular_probability(2 * drms(1.0, 0.5), 1.0, 0.5).round(6).item()
    0.969843
    """
    major, minor = _deviations(sd_major_m, sd_minor_m)
    radius = np.asarray(radius_m, dtype=np.float64)[..., None]
    angle = (np.arange(_ANGLES) + 0.5) * (np.pi / 2 / _ANGLES)
    variance = (major[..., None] * np.cos(angle)) ** 2 + (minor[..., None] * np.sin(angle)) ** 2
    exponent = np.divide(
        radius**2,
        2 * variance,
        out=np.zeros(np.broadcast_shapes(radius.shape, variance.shape)),
        where=variance > 0,
    )
    inside: Floats = -np.expm1(-exponent).mean(axis=-1)
    return np.where(np.broadcast_to(major, inside.shape) > 0, inside, 1.0)


def circular_radius(confidence_level: float, sd_major_m: ArrayLike, sd_minor_m: ArrayLike) -> Floats:
    """
    The radius, in metres, of the circle that holds a Gaussian with *confidence_level*: CEP at 0.5, R95 at
    0.95.

    >>> circular_radius(0.5, 1.0, 0.5).round(6).item(), circular_radius(0.95, 1.0, 0.5).round(6).item()
    (0.870417, 2.035859)
    """
    major, minor = _deviations(sd_major_m, sd_minor_m)
    # The circle about the ellipse of the same level holds more, so the radius lies below it.
    low, high = (
        np.zeros(np.broadcast_shapes(major.shape, minor.shape)),
        major * mahalanobis_radius(confidence_level),
    )
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        short = circular_probability(middle, major, minor) < confidence_level
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray(high)


def drms(sd_major_m: ArrayLike, sd_minor_m: ArrayLike) -> Floats:
    """
    The root mean square of the distance from the mean, in metres: a length, and of no fixed probability.

    >>> round(float(drms(4.0, 3.0)), 6)
    5.0
    """
    return np.hypot(*_deviations(sd_major_m, sd_minor_m))


def _deviations(sd_major_m: ArrayLike, sd_minor_m: ArrayLike) -> tuple[Floats, Floats]:
    major, minor = np.asarray(sd_major_m, dtype=np.float64), np.asarray(sd_minor_m, dtype=np.float64)
    if not (np.isfinite(major).all() and np.all(minor >= 0) and np.all(minor <= major)):
        raise CovarianceError("deviations are finite, not negative, and the major is not below the minor")
    return major, minor
