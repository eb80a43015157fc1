from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.covariance import checked_covariance, eigenvalues
from sextant.errors import ParametersError
from sextant.tensors import Floats

# Below this ratio the difference between the axes is rounding: a circle has no bearing, and a
# matrix with so small an eigenvalue is a line.
NOTHING = 1e-12
# The spread of two draws is a line, and has no scale for its ellipse (science A2: n - 2 degrees of freedom).
FEWEST_DRAWS = 3


class Ellipse(NamedTuple):
    """
    Error ellipses.

    Half axes in metres, the bearing of the longer one in degrees clockwise from true north in
    [0, 180), and whether the ellipse is a line or a point rather than an area.
    """

    semi_major_m: Floats
    semi_minor_m: Floats
    orientation_deg: Floats
    degenerate: NDArray[np.bool_]


def mahalanobis_radius(confidence_level: ArrayLike) -> Floats:
    """
    The radius, in standard deviations, of the ellipse that holds a 2-D Gaussian with *confidence_level*.

    Two dimensions, not one: 1.96 holds 85 %.  ``ParametersError`` outside (0, 1), bounds excluded.

    >>> round(float(mahalanobis_radius(0.95)), 10)
    2.4477468307
    """
    level = np.asarray(confidence_level, dtype=np.float64)
    if not np.all((level > 0) & (level < 1)):
        raise ParametersError(f"a confidence level lies between 0 and 1, bounds excluded; got {confidence_level!r}")
    radius: Floats = np.sqrt(-2 * np.log1p(-level))
    return radius


def small_sample_radius(confidence_level: ArrayLike, draws: ArrayLike) -> Floats:
    """
    The radius, in standard deviations of the spread of *draws* draws, of the ellipse that holds the next one.

    The covariance is that of the draws about their mean, with one less than their number below the line.  So
    few say little of their own spread: five draws' chi-square ellipse of 95 % holds 70 %.  Hotelling's
    T-squared says how much larger it has to be; for two dimensions the F quantile in it has a closed form.
    ``ParametersError`` for fewer than three draws, from whose spread no ellipse follows.

    >>> small_sample_radius(0.95, [5, 20, 1_000_000]).round(3).tolist()
    [5.529, 2.807, 2.448]
    """
    squared, n = np.square(mahalanobis_radius(confidence_level)), np.asarray(draws, dtype=np.float64)
    if not np.all(n >= FEWEST_DRAWS):
        fewest = f"an ellipse from the spread of draws needs at least {FEWEST_DRAWS} of them"
        raise ParametersError(f"{fewest}; got {np.asarray(draws).min():g}")
    radius: Floats = np.sqrt((n - 1 / n) * np.expm1(squared / (n - 2)))
    return radius


def probability_within(radius: ArrayLike) -> Floats:
    """
    The probability that a 2-D Gaussian falls within the Mahalanobis *radius*: its coverage.

    >>> round(float(probability_within(2.0)), 6)
    0.864665
    """
    probability: Floats = -np.expm1(-np.square(np.asarray(radius, dtype=np.float64)) / 2)
    return probability


def confidence_ellipse(covariance: ArrayLike, radius: ArrayLike) -> Ellipse:
    """
    The ellipse at Mahalanobis *radius* of each covariance, ``(..., 2, 2)`` in square metres, east before
    north.

    *radius* comes from ``mahalanobis_radius`` or from calibration, and broadcasts against ``(...)``.  A
    circle's orientation is 0.  ``CovarianceError`` for a matrix no random vector has, ``ParametersError`` for
    a radius below zero.

    >>> ellipse = confidence_ellipse([[30, 12], [12, 50]], mahalanobis_radius(0.95))
    >>> [round(float(value), 3) for value in ellipse[:3]]
    [18.255, 12.086, 25.097]
    """
    checked, radii = checked_covariance(covariance), np.asarray(radius, dtype=np.float64)
    if not np.all(radii >= 0):
        raise ParametersError(f"expected a Mahalanobis radius of 0 or more, got {radius!r}")
    largest, smallest = eigenvalues(checked)
    smallest = np.maximum(smallest, 0.0)
    return Ellipse(
        semi_major_m=radii * np.sqrt(largest),
        semi_minor_m=radii * np.sqrt(smallest),
        orientation_deg=_orientation_deg(checked),
        degenerate=smallest <= NOTHING * largest,
    )


def _orientation_deg(covariance: Floats) -> Floats:
    east, cross, north = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    bearing = np.rad2deg(np.arctan2(2 * cross, north - east)) / 2 % 180
    # A bearing a hair below zero comes out of the modulus as 180 itself.
    circular = np.hypot(east - north, 2 * cross) <= NOTHING * (east + north)
    return np.where(circular | (bearing >= 180), 0.0, bearing)
