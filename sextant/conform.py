"""Split-conformal radii: the size an ellipse must have to hold the promised share of the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.arrays import real
from sextant.covariance import checked_covariance, mahalanobis_squared
from sextant.ellipse import mahalanobis_radius
from sextant.errors import CalibrationError
from sextant.tensors import Floats, Mask
from sextant.values import level_text


def conformal_rank(n: int, confidence_level: float) -> int:
    """
    Which of *n* sorted scores bounds a new one with *confidence_level*: ceil((n + 1) p), counted from one.

    A rank above *n* says that no finite radius can promise it.  It is not a quantile of the scores, which
    would fall short.

    >>> conformal_rank(200, 0.95), conformal_rank(18, 0.95)
    (191, 19)
    """
    # 100 * 0.55 is a hair more than 55.
    return max(1, math.ceil((n + 1) * confidence_level - 1e-9))


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
    return conformal_bound(held_back, confidence_level, "ellipse", "calibration rows")


def conformal_bound(held_back: Floats, confidence_level: float, promise: str, rows: str) -> float:
    """
    The score that bounds a new one with *confidence_level*: that of the conformal rank among the *held_back* ``(N,)``.

    ``CalibrationError`` where they are too few, in words of the *promise* that is made of them and what the *rows* are.

    >>> conformal_bound(np.arange(1.0, 20.0), 0.9, "set", "known cases")
    18.0
    """
    mahalanobis_radius(confidence_level)  # refuses what is no level
    rank = conformal_rank(held_back.size, confidence_level)
    if rank > held_back.size:
        fewest = fewest_rows(confidence_level)
        level = level_text(confidence_level)
        raise CalibrationError(f"a {level} {promise} needs {fewest} {rows}, got {held_back.size}")
    return float(np.partition(held_back, rank - 1)[rank - 1])


def fewest_rows(confidence_level: float) -> int:
    """
    How many rows it takes before a radius can hold *confidence_level*: those of which the largest score does.

    >>> [fewest_rows(level) for level in (0.5, 0.9, 0.95, 0.99)]
    [1, 9, 19, 99]
    """
    nearly = max(1, math.ceil(confidence_level / (1 - confidence_level)) - 1)
    return nearly if conformal_rank(nearly, confidence_level) <= nearly else nearly + 1


def group_conformal_radii(
    scores: ArrayLike, group: ArrayLike, names: Sequence[str], confidence_levels: Sequence[float]
) -> Floats:
    """
    The radii ``(G, L)`` that hold each of *confidence_levels* in each group by itself (Mondrian).

    *scores* ``(N,)`` and *group* ``(N,)``, each row's place in *names*.  ``CalibrationError`` says for every group that
    has too few rows how many it has and how many it needs, and where a row's place is none.

    >>> group_conformal_radii(np.arange(1.0, 39.0), np.repeat([0, 1], 19), ["0", "1"], [0.5, 0.9]).tolist()
    [[10.0, 18.0], [29.0, 37.0]]
    """
    held_back, place = np.asarray(scores, dtype=np.float64), np.asarray(group)
    _refuse_no_places(place, held_back, len(names))
    rows = np.bincount(place, minlength=len(names))
    fewest = max(map(fewest_rows, confidence_levels))
    poor = [f"{name!r} has {have}" for name, have in zip(names, rows.tolist(), strict=True) if have < fewest]
    if poor:
        level = level_text(max(confidence_levels))
        raise CalibrationError(
            f"every group needs {fewest} calibration rows for its {level} ellipse, but group {', '.join(poor)}: "
            "bring more rows, join groups, or ask for a lower level"
        )
    return np.array(
        [[conformal_radius(held_back[place == i], level) for level in confidence_levels] for i in range(len(names))]
    )


def _refuse_no_places(place: NDArray[Any], scores: Floats, groups: int) -> None:
    if place.shape != scores.shape or scores.ndim != 1:
        raise CalibrationError(f"expected a group for each score, got {place.shape} and {scores.shape}")
    if place.size and (place.dtype.kind not in "iu" or not 0 <= place.min() <= place.max() < groups):
        raise CalibrationError(f"expected groups from 0 to {groups - 1}, got {place.min()} to {place.max()}")


def mahalanobis_scores(residual_east_north: ArrayLike, covariance: ArrayLike) -> Floats:
    """
    How many standard deviations out the errors ``(N, 2)`` lie, each by its own covariance ``(N, 2, 2)``.

    ``CalibrationError`` where a covariance is singular, a residual is not finite, or there are more of the ones than of
    the others.

    >>> round(float(mahalanobis_scores([5.0, -3.0], [[30.0, 12.0], [12.0, 50.0]])), 6)
    1.177468
    """
    residual = real(residual_east_north, lambda came: CalibrationError(f"expected residuals of numbers, got {came}"))
    if not np.isfinite(residual).all():
        raise CalibrationError("a residual is not finite")
    spreads = checked_covariance(covariance)
    if residual.shape[-1:] != (2,) or len({residual.shape[:-1], spreads.shape[:-2]} - {()}) > 1:
        said = "expected residuals (N, 2) and a covariance (2, 2) for each or for all"
        raise CalibrationError(f"{said}, got {residual.shape} and {spreads.shape}")
    squared = mahalanobis_squared(residual.astype(np.float64), spreads)
    refuse_errorless(~np.isfinite(squared))
    scores: Floats = np.sqrt(squared)
    return scores


def refuse_errorless(errorless: Mask) -> None:
    """``CalibrationError`` names the first row that is said to be *errorless* ``(N,)`` in some direction."""
    if errorless.any():
        raise CalibrationError(
            f"row {int(np.argmax(errorless))} is said to be without error in some direction, in which nothing can be "
            "measured: its covariance is singular, as of members that agree exactly and say no errors of their own"
        )


def coverage(scores: ArrayLike, radii: ArrayLike) -> Floats:
    """
    The share of *scores* ``(N,)`` within each of *radii* ``(L,)``.

    >>> coverage([0.5, 1.0, 2.0, 4.0], [1.0, 3.0]).tolist()
    [0.5, 0.75]
    """
    inside = np.asarray(scores)[..., None] <= np.asarray(radii)
    shares: Floats = inside.mean(axis=0)
    return shares
