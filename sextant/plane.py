"""Rules that combine Gaussian estimates in one plane of east and north metres."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sextant.covariance import inverse
from sextant.tensors import Floats

_ROUNDS = 1000
_CONVERGED = 1e-12


class Moments(NamedTuple):
    """*mean* ``(..., 2)``; the covariance is *within* plus *between* the members, each ``(..., 2, 2)``."""

    mean: Floats
    within: Floats
    between: Floats


class Estimate(NamedTuple):
    """One Gaussian: *mean* ``(..., 2)`` and *covariance* ``(..., 2, 2)``."""

    mean: Floats
    covariance: Floats


def moment_match(means: Floats, covariances: Floats, weights: Floats) -> Moments:
    """
    The mean and covariance of the mixture of M Gaussians, ``(..., M, 2)`` and ``(..., M, 2, 2)``.

    Right for members that are alternative models of the same data: they share most of their errors, and how
    far they disagree is part of what is not known.  *weights* ``(..., M)`` sum to one.

    >>> means = np.array([[0.0, 0.0], [2.0, 0.0]])
    >>> match = moment_match(means, np.array([np.eye(2)] * 2), np.array([0.5, 0.5]))
    >>> match.mean.tolist(), (match.within + match.between).tolist()
    ([1.0, 0.0], [[2.0, 0.0], [0.0, 1.0]])
    """
    mean = np.matmul(weights[..., None, :], means)[..., 0, :]
    residual = means - mean[..., None, :]
    between = np.matmul(np.swapaxes(residual * weights[..., None], -1, -2), residual)
    flat = covariances.reshape(*covariances.shape[:-2], 4)
    within = np.matmul(weights[..., None, :], flat)[..., 0, :]
    return Moments(mean, within.reshape(*within.shape[:-1], 2, 2), between)


def inverse_variance(means: Floats, covariances: Floats) -> Estimate:
    """
    The best estimate from M members whose errors are provably independent, and only from those.

    Members trained on the same data are not: a "95 %" ellipse then holds 48 to 78 % of the truth.
    """
    precisions = inverse(covariances)
    return _weigh(means, precisions, np.ones(means.shape[:-1]))


def covariance_intersection(means: Floats, covariances: Floats, weights: Floats | None = None) -> Estimate:
    """
    An estimate that is never too sure, however the errors of M members ``(M, 2)``, ``(M, 2, 2)`` are
    correlated.

    Without *weights*, those which make the determinant of the outcome least.
    """
    precisions = inverse(covariances)
    return _weigh(means, precisions, _least_determinant(precisions) if weights is None else weights)


def geometric_median(points: Floats, weights: Floats, *, rounds: int = 1000, precision: float = 1e-12) -> Floats:
    """
    The point ``(..., 2)`` with the least weighted sum of distances to ``(..., M, 2)``.

    Half of the members may be anywhere without carrying it off.  Weiszfeld's iteration, with the step of
    Vardi and Zhang where it stands on a member; it ends when no step is longer than *precision* times the
    spread.

    >>> corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [100.0, 100.0]])
    >>> geometric_median(corners, np.full(5, 0.2)).round(6).tolist()
    [0.788675, 0.788675]
    """
    point: Floats = np.median(points, axis=-2)
    spread = np.abs(points - point[..., None, :]).max(axis=(-2, -1))[..., None]
    for _ in range(rounds):
        improved = _weiszfeld(point, points, weights, spread)
        step = np.abs(improved - point)
        point = improved
        if np.all(step <= precision * spread):
            break
    return point


def _weiszfeld(point: Floats, points: Floats, weights: Floats, spread: Floats) -> Floats:
    offset = points - point[..., None, :]
    distance = np.hypot(offset[..., 0], offset[..., 1])
    here = distance <= 1e-15 * spread
    pull = np.divide(weights, distance, out=np.zeros(distance.shape), where=~here)
    total = pull.sum(axis=-1, keepdims=True)
    force = np.sum(pull[..., None] * offset, axis=-2)
    strength = np.hypot(force[..., 0], force[..., 1])[..., None]
    held = np.sum(weights * here, axis=-1, keepdims=True)
    # On a member, its own weight holds the point back; where it outweighs the pull of the others, this is it.
    ahead = np.maximum(0.0, 1 - np.divide(held, strength, out=np.sign(held), where=strength > 0))
    step: Floats = ahead * np.divide(force, total, out=np.zeros_like(force), where=total > 0)
    return point + step


def _weigh(means: Floats, precisions: Floats, weights: Floats) -> Estimate:
    weighted = precisions * weights[..., None, None]
    covariance = inverse(weighted.sum(axis=-3))
    information = np.sum(weighted @ means[..., None], axis=-3)
    return Estimate((covariance @ information)[..., 0], covariance)


def _least_determinant(precisions: Floats) -> Floats:
    """
    Weights that make the determinant of the weighted sum of M precisions the greatest.

    The multiplicative rule of D-optimal design: a member whose share of the information exceeds the mean
    gains weight, and every step improves.
    """
    weights: Floats = np.full(len(precisions), 1 / len(precisions))
    for _ in range(_ROUNDS):
        covariance = inverse(np.sum(weights[:, None, None] * precisions, axis=0))
        improved = weights * np.trace(covariance @ precisions, axis1=-2, axis2=-1) / 2
        change = np.abs(improved - weights).max()
        weights = improved
        if change <= _CONVERGED:
            break
    return weights
