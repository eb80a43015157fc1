"""Split-conformal radii: the size an ellipse must have to hold the promised share of the truth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from sextant.covariance import checked_covariance, mahalanobis_squared
from sextant.ellipse import mahalanobis_radius
from sextant.errors import CalibrationError
from sextant.tensors import Floats


def conformal_rank(n: int, confidence_level: float) -> int:
    """
    Which of *n* sorted scores bounds a new one with *confidence_level*: ceil((n + 1) p), counted from one.

    A rank above *n* says that no finite radius can promise it.  It is not a quantile of the scores, which
    would fall short.

    >>> conformal_rank(200, 0.95), conformal_rank(18, 0.95)
    (191, 19)
    """
    # 100 * 0.55 is a hair more than 55.
    return math.ceil((n + 1) * confidence_level - 1e-9)


def conformal_radius(scores: ArrayLike, confidence_level: float) -> float:
    """
    The Mahalanobis radius that holds a new fix with *confidence_level*, whatever the errors are distributed
    like.

    *scores* ``(N,)`` are those of held-back rows, exchangeable with those to come.
    ``CalibrationError`` where they are too few, or not numbers.

    >>> conformal_radius(np.arange(1.0, 20.0), 0.9)
    18.0
    """
    held_back = np.asarray(scores, dtype=np.float64).ravel()
    if np.isnan(held_back).any():
        raise CalibrationError("a calibration score is not a number")
    mahalanobis_radius(confidence_level)
    rank = conformal_rank(held_back.size, confidence_level)
    if rank > held_back.size:
        fewest = math.ceil(confidence_level / (1 - confidence_level) - 1e-9)
        raise CalibrationError(f"a {confidence_level:g} ellipse needs {fewest} calibration rows, got {held_back.size}")
    return float(np.partition(held_back, rank - 1)[rank - 1])


def mahalanobis_scores(residual_east_north: ArrayLike, covariance: ArrayLike) -> Floats:
    """
    How many standard deviations out the errors ``(N, 2)`` lie, each by its own covariance ``(N, 2, 2)``.

    ``CalibrationError`` where a covariance is singular or a residual is not finite.

    >>> round(float(mahalanobis_scores([5.0, -3.0], [[30.0, 12.0], [12.0, 50.0]])), 6)
    1.177468
    """
    residual = np.asarray(residual_east_north, dtype=np.float64)
    if not np.isfinite(residual).all():
        raise CalibrationError("a residual is not finite")
    squared = mahalanobis_squared(residual, checked_covariance(covariance))
    if not np.isfinite(squared).all():
        raise CalibrationError("a covariance is singular: nothing can be measured in it")
    scores: Floats = np.sqrt(squared)
    return scores


def coverage(scores: ArrayLike, radii: ArrayLike) -> Floats:
    """
    The share of *scores* ``(N,)`` within each of *radii* ``(L,)``.

    >>> coverage([0.5, 1.0, 2.0, 4.0], [1.0, 3.0]).tolist()
    [0.5, 0.75]
    """
    inside = np.asarray(scores)[..., None] <= np.asarray(radii)
    shares: Floats = inside.mean(axis=0)
    return shares
