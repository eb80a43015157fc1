"""Which members to leave out: those that a quorum of the others contradicts."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sextant.covariance import mahalanobis_squared, regular
from sextant.ellipse import mahalanobis_radius
from sextant.plane import geometric_median
from sextant.tensors import Floats, Mask

# No fewer than three members make a quorum that may overrule another.
QUORUM = 3
# The gate asks on which side of a threshold a member lies, so the median need not be exact: its last step is less than
# a thousandth of the spread, which in hard rows leaves it a tenth of it away.
_MEDIAN_PRECISION = 1e-3
_MEDIAN_ROUNDS = 50
# A covariance without an inverse, a line or a point, is taken to be this much wider, by its own size and by 1 um:
# what lies along the line is then as far as it is, and not as rounding has it.
WIDER = 1e-12


class Agreement(NamedTuple):
    """
    Which members are *kept* ``(B, M)``, and which rows are *contested* ``(B,)``.

    In a contested row members contradict each other beyond the gate, and no quorum can say who is wrong.
    """

    kept: Mask
    contested: Mask


def agreement(offsets: Floats, spreads: Floats, weights: Floats, gate: float | None) -> Agreement:
    """
    Which members lie within the *gate*, a probability, of the geometric median of all.

    *offsets* ``(B, M, 2)`` are their positions in metres, *spreads* their covariances, ``(B, M, 2, 2)`` or
    ``(M, 2, 2)``.  Where fewer than a quorum agree nobody can say who is wrong: all stay, and the row is contested.
    Three members can therefore overrule nobody; their row is contested where any two are farther apart than the gate
    has it by both their covariances.  ``None`` keeps all and contests nothing.

    >>> around = np.array([[[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [500.0, 0.0]]])
    >>> agreement(around, np.tile(25 * np.eye(2), (1, 4, 1, 1)), np.full(4, 0.25), 0.99).kept.tolist()
    [[True, True, True, False]]
    """
    rows, members = offsets.shape[:-1]
    found = Agreement(np.ones((rows, members), dtype=np.bool_), np.zeros(rows, dtype=np.bool_))
    if gate is None:
        return found
    threshold = _threshold(float(gate))
    if members <= QUORUM:
        return found._replace(contested=_contradicting(offsets, spreads, threshold))
    local = np.broadcast_to(spreads, (*offsets.shape, 2))
    doubtful = _doubtful(offsets, local, threshold)
    if doubtful.any():
        inside = _inside(offsets[doubtful], local[doubtful], weights, threshold)
        undecided = inside.sum(axis=-1) < max(QUORUM, -(-members // 2))
        found.kept[doubtful] = inside | undecided[:, None]
        found.contested[doubtful] = undecided
    return found


def _inside(offsets: Floats, spreads: Floats, weights: Floats, threshold: float) -> Mask:
    median = geometric_median(offsets, weights, rounds=_MEDIAN_ROUNDS, precision=_MEDIAN_PRECISION)
    squared = mahalanobis_squared(offsets - median[:, None, :], _widened(spreads + _typical(spreads)))
    inside: Mask = squared <= threshold
    return inside


def _contradicting(offsets: Floats, spreads: Floats, threshold: float) -> Mask:
    """The rows in which some two members are too far apart."""
    one, other = _pairs(offsets.shape[-2])
    apart, both = offsets[:, one] - offsets[:, other], spreads[..., one, :, :] + spreads[..., other, :, :]
    contradicting: Mask = (mahalanobis_squared(apart, _widened(both)) > threshold).any(axis=-1)
    return contradicting


def _widened(spreads: Floats) -> Floats:
    """So that each of ``(..., 2, 2)`` has an inverse."""
    wider = np.where(regular(spreads), 0.0, WIDER * (spreads[..., 0, 0] + spreads[..., 1, 1] + 1.0))
    return spreads + wider[..., None, None] * np.eye(2)


# Both are asked with every request, however few rows it has.
@cache
def _pairs(members: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Each two of so many, once: the one and the other."""
    one, other = np.triu_indices(members, 1)
    return one, other


@cache
def _threshold(gate: float) -> float:
    return float(mahalanobis_radius(gate)) ** 2


def _doubtful(offsets: Floats, spreads: Floats, threshold: float) -> Mask:
    """
    The rows in which the gate could drop somebody.

    The median lies among the members, and a distance from it is at most the greatest to one of them: where
    every pair agrees there is nothing to ask.  That spares most rows the median.
    """
    apart = offsets[:, :, None, :] - offsets[:, None, :, :]
    squared = mahalanobis_squared(apart, _widened(spreads + _typical(spreads))[:, :, None])
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
