"""How well a 2-D Gaussian foretold what came: its likelihood, its place in the distribution, its energy."""

from __future__ import annotations

from math import erf

import numpy as np
from numpy.typing import ArrayLike

from sextant.conform import mahalanobis_scores, refuse_errorless
from sextant.covariance import checked_covariance
from sextant.ellipse import probability_within
from sextant.tensors import Floats

_DIRECTIONS = 512


def probability_integral(residual_east_north: ArrayLike, covariance: ArrayLike) -> Floats:
    """
    The share of the Gaussian nearer in than what came; uniform on (0, 1) when the covariance is true.

    >>> round(float(probability_integral([5.0, -3.0], [[30.0, 12.0], [12.0, 50.0]])), 6)
    0.500034
    """
    return probability_within(mahalanobis_scores(residual_east_north, covariance))


def negative_log_likelihood(residual_east_north: ArrayLike, covariance: ArrayLike) -> Floats:
    """
    Less is better; rewards a covariance for being small as well as true.  ``CalibrationError`` for a singular one.

    >>> round(float(negative_log_likelihood([5.0, -3.0], [[30.0, 12.0], [12.0, 50.0]])), 6)
    6.13724
    """
    sign, logarithm = np.linalg.slogdet(checked_covariance(covariance))
    refuse_errorless(np.asarray(sign <= 0))
    scores = mahalanobis_scores(residual_east_north, covariance)
    return np.asarray(np.log(2 * np.pi) + logarithm / 2 + np.square(scores) / 2)


def anees(residual_east_north: ArrayLike, covariance: ArrayLike) -> float:
    """
    The average normalised estimation error squared: 1 where covariances are true, above it where they are too small.

    Also the factor by which they would have to grow to make what came likeliest.  That mends Gaussian errors only:
    with heavy tails the ellipses still hold less than they promise, so it is a diagnosis and not a calibration.

    >>> round(anees([[5.0, -3.0], [0.0, 0.0]], [[[30.0, 12.0], [12.0, 50.0]]] * 2), 6)
    0.346608
    """
    return float(np.mean(np.square(mahalanobis_scores(residual_east_north, covariance))) / 2)


def energy_score(residual_east_north: ArrayLike, covariance: ArrayLike) -> float:
    """
    The energy score of one Gaussian in metres: mean distance to what came, less half that of two draws.

    A length in the plane is a quarter of its projections' lengths over all directions, and the mean length
    of a projected Gaussian is known.

    >>> round(energy_score([0.0, 0.0], np.eye(2)), 9)
    0.367087212
    """
    angle = np.arange(_DIRECTIONS) * (np.pi / _DIRECTIONS)
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    deviation = np.sqrt(np.einsum("di,ij,dj->d", direction, checked_covariance(covariance), direction))
    offset = direction @ np.asarray(residual_east_north, dtype=np.float64)
    to_truth = _mean_length(offset, deviation)
    to_each_other = _mean_length(np.zeros_like(offset), np.sqrt(2) * deviation)
    return float(np.pi / 2 * np.mean(to_truth - to_each_other / 2))


def _mean_length(mean: Floats, deviation: Floats) -> Floats:
    """The mean absolute value of Gaussians on a line."""
    ratio = mean / (np.sqrt(2) * deviation)
    inside = np.array([erf(value) for value in ratio])
    return np.asarray(deviation * np.sqrt(2 / np.pi) * np.exp(-(ratio**2)) + mean * inside)
