"""Which members to leave out: those that a quorum of the others contradicts."""

from __future__ import annotations

import numpy as np

from sextant.covariance import mahalanobis_squared
from sextant.ellipse import mahalanobis_radius
from sextant.plane import geometric_median
from sextant.tensors import Floats, Mask

# No fewer than three members make a quorum that may overrule another.
_QUORUM = 3
# The gate asks on which side of a threshold a member lies: a thousandth of the spread is close enough.
_MEDIAN_PRECISION = 1e-3
_MEDIAN_ROUNDS = 50


def agreeing(offsets: Floats, spreads: Floats, weights: Floats, gate: float | None) -> Mask:
    """
    Which members ``(B, M)`` lie within the *gate*, a probability, of the geometric median of all.

    *offsets* ``(B, M, 2)`` are their positions in metres, *spreads* their covariances, ``(B, M, 2, 2)`` or
    ``(M, 2, 2)``.  Where fewer than a quorum agree nobody can say who is wrong: all stay, and their
    disagreement shows as the share between members.  Three members can therefore overrule nobody.  ``None``
    keeps all.

    >>> around = np.array([[[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [500.0, 0.0]]])
    >>> agreeing(around, np.tile(25 * np.eye(2), (1, 4, 1, 1)), np.full(4, 0.25), 0.99).tolist()
    [[True, True, True, False]]
    """
    kept = np.ones(offsets.shape[:-1], dtype=np.bool_)
    quorum = max(_QUORUM, -(-offsets.shape[-2] // 2))
    if gate is None or offsets.shape[-2] <= quorum:
        return kept
    threshold = float(mahalanobis_radius(gate)) ** 2
    local = np.broadcast_to(spreads, (*offsets.shape, 2))
    doubtful = _doubtful(offsets, local, threshold)
    if not doubtful.any():
        return kept
    points, around = offsets[doubtful], local[doubtful]
    median = geometric_median(points, weights, rounds=_MEDIAN_ROUNDS, precision=_MEDIAN_PRECISION)
    squared = mahalanobis_squared(points - median[:, None, :], around + _typical(around))
    inside = squared <= threshold
    kept[doubtful] = inside | (inside.sum(axis=-1, keepdims=True) < quorum)
    return kept


def _doubtful(offsets: Floats, spreads: Floats, threshold: float) -> Mask:
    """
    The rows in which the gate could drop somebody.

    The median lies among the members, and a distance from it is at most the greatest to one of them: where
    every pair agrees there is nothing to ask.  That spares most rows the median.
    """
    apart = offsets[:, :, None, :] - offsets[:, None, :, :]
    squared = mahalanobis_squared(apart, (spreads + _typical(spreads))[:, :, None])
    doubtful: Mask = np.any(squared > threshold, axis=(-2, -1))
    return doubtful


def _typical(spreads: Floats) -> Floats:
    """
    The covariance of the median itself, ``(B, 1, 2, 2)``: that of the member with the median variance.

    The median of members that share their errors is hardly surer than one of them; a mean of
    covariances would let one very unsure member open the gate for all.
    """
    variance = spreads[..., 0, 0] + spreads[..., 1, 1]
    middle = np.argsort(variance, axis=-1)[:, variance.shape[-1] // 2]
    return np.take_along_axis(spreads, middle[:, None, None, None], axis=1)
