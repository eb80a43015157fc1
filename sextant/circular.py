"""
Circles about a Gaussian fix: CEP, R95 and their like, exact and for any ratio of the axes.

With the point written as a Rayleigh radius times an ellipse, the probability outside a circle is the mean
over the ellipse's angle of exp(-R^2 / 2 s^2), s being the deviation in that direction: a smooth periodic
function, whose mean over equal angles converges faster than any power of their number.  Where the circle is
small against the longer axis that function is a spike at the shorter one; angles spaced by a tangent, which
keeps it periodic, make it smooth again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sextant.ellipse import mahalanobis_radius
from sextant.errors import CovarianceError, ParametersError
from sextant.tensors import Floats

# With 64 the worst of all ratios and radii is within 1e-14; the tests hold it to an independent quadrature.
_ANGLES = 96
_ROUNDS = 100
_STILL = 1e-15


def circular_probability(radius_m: ArrayLike, sd_major_m: ArrayLike, sd_minor_m: ArrayLike) -> Floats:
    """
    The probability that a Gaussian with these deviations along its axes lies within *radius_m* of its mean.

    The 2 DRMS circle is not a 95 % circle, but anything from 95.4 to 98.2 %:

    ``ParametersError`` for a radius below zero, ``CovarianceError`` for deviations that are none.

    >>> circular_probability(2 * drms(1.0, 0.5), 1.0, 0.5).round(6).item()
    0.969843
    """
    major, minor = _deviations(sd_major_m, sd_minor_m)
    radius = np.asarray(radius_m, dtype=np.float64)
    if not np.all(radius >= 0):
        raise ParametersError(f"expected a radius of 0 or more, got {radius_m!r}")
    some = np.where(major > 0, major, 1.0)
    return np.where(major > 0, _circle(radius / some, minor / some).inside, 1.0)


def circular_radius(confidence_level: ArrayLike, sd_major_m: ArrayLike, sd_minor_m: ArrayLike) -> Floats:
    """
    The radius, in metres, of the circle that holds a Gaussian with *confidence_level*: CEP at 0.5, R95 at
    0.95.

    Levels and deviations broadcast.

    >>> circular_radius(0.5, 1.0, 0.5).round(6).item(), circular_radius(0.95, 1.0, 0.5).round(6).item()
    (0.870417, 2.035859)
    """
    major, minor = _deviations(sd_major_m, sd_minor_m)
    target = np.square(mahalanobis_radius(confidence_level)) / 2
    ratio = np.divide(minor, major, out=np.zeros(np.broadcast_shapes(major.shape, minor.shape)), where=major > 0)
    # The circle about the ellipse of the same level holds more: the root lies below.
    squared = np.broadcast_to(2 * target, np.broadcast_shapes(target.shape, ratio.shape))
    for _ in range(_ROUNDS):
        circle = _circle(np.sqrt(squared), ratio)
        step = (circle.exponent - target) / circle.slope
        squared = np.maximum(squared - step, squared / 4)
        if np.all(np.abs(step) <= _STILL * squared):
            break
    return np.asarray(major * np.sqrt(squared))


def drms(sd_major_m: ArrayLike, sd_minor_m: ArrayLike) -> Floats:
    """
    The root mean square of the distance from the mean, in metres: a length, and of no fixed probability.

    >>> round(float(drms(4.0, 3.0)), 6)
    5.0
    """
    return np.hypot(*_deviations(sd_major_m, sd_minor_m))


class _Circle(NamedTuple):
    """
    The probability within, its *exponent* -log(1 - within), and what that grows by with the squared radius.

    The exponent is a concave function of the squared radius, a straight line for a circle: from below its
    root Newton's steps never pass it.
    """

    inside: Floats
    exponent: Floats
    slope: Floats


def _circle(radius: Floats, ratio: Floats) -> _Circle:
    """Of *radius* ``(...)`` about a Gaussian whose deviations are 1 and *ratio* ``(...)``."""
    r2, ratio2 = np.square(radius)[..., None], np.square(ratio)[..., None]
    # The width of the spike; one, which leaves the angles as they are, where there is none.
    width2 = np.maximum(np.clip(r2, 1e-300, 1.0), ratio2)
    angle = (np.arange(_ANGLES) + 0.5) * (np.pi / 2 / _ANGLES)
    cos2, sin2 = np.cos(angle) ** 2, np.sin(angle) ** 2
    stretch = cos2 + width2 * sin2
    half_precision = stretch / (2 * (width2 * sin2 + ratio2 * cos2))
    weight = np.sqrt(width2) / stretch
    beyond = np.exp(-r2 * half_precision)
    inside = np.mean(weight * -np.expm1(-r2 * half_precision), axis=-1)
    near = np.asarray(radius < 1)
    # Beyond the longer axis the share outside is the small number, and the angles are the plain ones.
    outside = np.where(near, 1 - inside, np.mean(beyond, axis=-1))
    exponent = np.where(near, -np.log1p(-inside), -np.log(outside))
    return _Circle(inside, exponent, np.mean(weight * half_precision * beyond, axis=-1) / outside)


def _deviations(sd_major_m: ArrayLike, sd_minor_m: ArrayLike) -> tuple[Floats, Floats]:
    major, minor = np.asarray(sd_major_m, dtype=np.float64), np.asarray(sd_minor_m, dtype=np.float64)
    if not (np.isfinite(major).all() and np.all(minor >= 0) and np.all(minor <= major)):
        raise CovarianceError("deviations are finite, not negative, and the major is not below the minor")
    return major, minor
