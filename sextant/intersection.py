"""
The weights of covariance intersection, exactly and for whole batches.

Theory of operation.  With precisions ``L_i`` and weights ``w_i`` that sum to one the outcome has the precision
``L = sum w_i L_i``, and its determinant or trace is to be least.  Symmetric matrices of two rows are points of a space
of three dimensions, and more information is always better: the best ``L`` lies on the outside of the hull of the
``L_i``, on a corner, an edge or a triangle of it.  No more than three members ever count, and each case has a closed
form:

- a corner is one member;
- on an edge, determinant and trace are a quotient of polynomials in the place along it;
- on a triangle every member gains equally from a little more weight: ``tr(S L_i) = 1``, where S is the outcome's
  covariance for the determinant and its square for the trace, up to scale.  Three equations give S.

All are computed and the best is taken, so there is no iteration, and no row depends on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sextant.errors import FusionError
from sextant.tensors import Floats, Mask

MINIMISED = ("determinant", "trace")

# Outcomes this close together are one: members that say the same share the weight.
_TIE = 1e-13
# And this little a member may seem to gain by rounding alone.
_SETTLED = 1e-12

Indices = NDArray[np.intp]


class _Candidates(NamedTuple):
    """Weights of K candidates on their members: *shares* ``(..., K, n)`` on *members* ``(K, n)``."""

    shares: Floats
    members: Indices


def intersection_weights(precisions: Floats, minimise: str = "determinant") -> Floats:
    """
    The weights ``(..., M)`` of *precisions* ``(..., M, 2, 2)`` whose outcome has the least ``determinant`` or
    ``trace``.

    Where several are equally good, as for members that are equally sure, their mean: it is as good, and favours
    nobody.  ``FusionError`` for another word.

    >>> equal, lengthwise = np.eye(2), np.diag([4.0, 0.25])
    >>> intersection_weights(np.array([equal, equal, lengthwise, 4 * equal])).tolist()
    [0.0, 0.0, 0.0, 1.0]
    >>> intersection_weights(np.array([equal, equal])).tolist()
    [0.5, 0.5]
    """
    refuse_unknown_aim(minimise)
    members = precisions.shape[-3]
    flat = np.stack([precisions[..., 0, 0], precisions[..., 0, 1], precisions[..., 1, 1]], axis=-1)
    rows = flat.reshape(-1, members, 3)
    largest = np.max(rows[..., 0] + rows[..., 2], axis=-1, initial=0.0)[..., None, None]
    scaled = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    weights = _best(scaled, minimise, corners=2)
    # Where no member would gain from more weight there is nothing to look for on triangles, which are many.
    open_still = _gains(scaled, weights, minimise).max(axis=-1, initial=0.0) > 1 + _SETTLED
    if members > 2 and open_still.any():
        weights[open_still] = _best(scaled[open_still], minimise, corners=3)
    return weights.reshape(precisions.shape[:-2])


def refuse_unknown_aim(minimise: str) -> None:
    """``FusionError`` for what nobody knows to *minimise*."""
    if minimise not in MINIMISED:
        raise FusionError(f"expected to minimise one of {', '.join(MINIMISED)}, got {minimise!r}")


def _best(flat: Floats, minimise: str, corners: int) -> Floats:
    """The best weights ``(N, M)`` on the hull's figures of no more than so many *corners*."""
    candidates = list(_candidates(flat, minimise, corners))
    found = [_worth(flat, candidate, minimise) for candidate in candidates]
    best = np.max([worth.max(axis=-1) for worth in found], axis=0)[..., None]
    total = np.zeros(flat.shape[:-1])
    for candidate, worth in zip(candidates, found, strict=True):
        total += _laid_out(candidate, worth >= best * (1 - _TIE), total.shape[-1])
    weights: Floats = total / total.sum(axis=-1, keepdims=True)
    return weights


def _gains(flat: Floats, weights: Floats, minimise: str) -> Floats:
    """What each member's information is worth to the outcome, where all that have a weight are worth one."""
    east, cross, north = np.moveaxis(np.sum(weights[..., None] * flat, axis=-2), -1, 0)
    if minimise == "trace":  # the square of the outcome's covariance, over its trace
        square = north * north + cross * cross, -cross * (north + east), east * east + cross * cross
        scale = (east + north) * (east * north - cross * cross)
    else:
        square, scale = (north, -cross, east), 2 * (east * north - cross * cross)
    value = np.stack([square[0], 2 * square[1], square[2]], axis=-1)
    value = np.divide(value, scale[..., None], out=np.zeros_like(value), where=scale[..., None] > 0)
    gains: Floats = np.sum(value[..., None, :] * flat, axis=-1)
    return gains


def _candidates(flat: Floats, minimise: str, corners: int) -> Iterator[_Candidates]:
    members = flat.shape[-2]
    yield _Candidates(np.ones((*flat.shape[:-1], 1)), _choices(members, 1))
    if members > 1:
        pairs = _choices(members, 2)
        for share in _EDGES[minimise](flat[..., pairs[:, 0], :], flat[..., pairs[:, 1], :]):
            yield _Candidates(np.stack([1 - share, share], axis=-1), pairs)
    if corners > 2:
        triples = _choices(members, 3)
        yield _Candidates(_triangle(flat[..., triples, :], minimise), triples)


@cache
def _choices(members: int, size: int) -> Indices:
    return np.array(list(combinations(range(members), size)), dtype=np.intp)


def _edge_of_least_determinant(start: Floats, end: Floats) -> Iterator[Floats]:
    """Along an edge the determinant is a parabola; only one that opens downwards has a peak within."""
    along = end - start
    slope, bend = _mixed(start, along), _determinant(along)
    yield np.divide(-slope, 2 * bend, out=np.full(bend.shape, np.nan), where=bend < 0)


def _edge_of_least_trace(start: Floats, end: Floats) -> Iterator[Floats]:
    """Trace over determinant stands still where a quadratic is zero; its roots without cancellation."""
    along = end - start
    trace, rise = start[..., 0] + start[..., 2], along[..., 0] + along[..., 2]
    level, slope, bend = _determinant(start), _mixed(start, along), _determinant(along)
    square, linear, constant = -rise * bend, -2 * trace * bend, rise * level - trace * slope
    inner = linear * linear - 4 * square * constant
    far = -(linear + np.copysign(np.sqrt(np.maximum(inner, 0.0)), linear)) / 2
    nowhere = np.full(inner.shape, np.nan)
    yield np.divide(far, square, out=nowhere.copy(), where=(inner >= 0) & (square != 0))
    yield np.divide(constant, far, out=nowhere, where=(inner >= 0) & (far != 0))


_EDGES: Mapping[str, Callable[[Floats, Floats], Iterator[Floats]]] = MappingProxyType(
    {"determinant": _edge_of_least_determinant, "trace": _edge_of_least_trace}
)


def _triangle(corners: Floats, minimise: str) -> Floats:
    """Weights ``(..., K, 3)`` of the best point of each triangle's plane, from *corners* ``(..., K, 3, 3)``."""
    rows = [tuple(np.moveaxis(corners[..., corner, :], -1, 0)) for corner in range(3)]
    opposite = [_crossed(rows[corner - 2], rows[corner - 1]) for corner in range(3)]
    side = np.sign(_product(rows[0], opposite[0]))
    # Cramer's rule, but for a factor that does not count: S has tr(S L_i) equal for all three.
    east, twice_cross, north = (side * sum(parts) for parts in zip(*opposite, strict=True))
    determinant = east * north - twice_cross * twice_cross / 4
    root = np.sqrt(np.maximum(determinant, 0.0)) if minimise == "trace" else 0.0
    precision = (north + root, -twice_cross / 2, east + root)
    share = np.stack([side * _product(precision, one) for one in opposite], axis=-1)
    possible = (determinant > 0) & (east > 0) & (share > 0).all(axis=-1)
    total = share.sum(axis=-1)[..., None]
    weights: Floats = np.divide(share, total, out=np.full(share.shape, np.nan), where=possible[..., None])
    return weights


def _crossed(one: Sequence[Floats], other: Sequence[Floats]) -> tuple[Floats, Floats, Floats]:
    """The vector product of two triples."""
    (a, b, c), (d, e, f) = one, other
    return b * f - c * e, c * d - a * f, a * e - b * d


def _product(one: Sequence[Floats], other: Sequence[Floats]) -> Floats:
    (a, b, c), (d, e, f) = one, other
    product: Floats = a * d + b * e + c * f
    return product


def _worth(flat: Floats, candidate: _Candidates, minimise: str) -> Floats:
    """The determinant, or determinant over trace, of the precision of each; less than any where it is none."""
    inside = np.all((candidate.shares > 0) & (candidate.shares <= 1), axis=-1)
    worth = np.full(inside.shape, -1.0)
    found = inside.nonzero()
    members = candidate.members[found[-1]]
    corners = flat[(*(axis[:, None] for axis in found[:-1]), members)]
    together = np.sum(candidate.shares[found][..., None] * corners, axis=-2)
    worth[found] = _determinant(together)
    if minimise == "trace":
        trace = together[..., 0] + together[..., 2]
        worth[found] = np.divide(worth[found], trace, out=np.zeros_like(trace), where=trace > 0)
    return worth


def _laid_out(candidate: _Candidates, chosen: Mask, members: int) -> Floats:
    """The sum of the *chosen* candidates' weights, on all members."""
    shares = np.where(chosen[..., None], candidate.shares, 0.0)
    places = np.eye(members)[candidate.members]
    return sum(
        (np.matmul(shares[..., corner], places[:, corner]) for corner in range(places.shape[1])),
        np.zeros((*shares.shape[:-2], members)),
    )


def _determinant(flat: Floats) -> Floats:
    determinant: Floats = flat[..., 0] * flat[..., 2] - flat[..., 1] * flat[..., 1]
    return determinant


def _mixed(one: Floats, other: Floats) -> Floats:
    """What the determinant of a sum has beyond the two determinants."""
    crossed = one[..., 0] * other[..., 2] + other[..., 0] * one[..., 2]
    mixed: Floats = crossed - 2 * one[..., 1] * other[..., 1]
    return mixed
