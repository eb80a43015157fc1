"""Rules that combine Gaussian estimates in one plane of east and north metres."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sextant.arrays import real
from sextant.covariance import checked_covariance, inverse
from sextant.errors import FusionError
from sextant.intersection import intersection_weights
from sextant.tensors import Floats


class Moments(NamedTuple):
    """*mean* ``(..., 2)``; the covariance is *within* plus *between* the members, each ``(..., 2, 2)``."""

    mean: Floats
    within: Floats
    between: Floats


class Estimate(NamedTuple):
    """One Gaussian: *mean* ``(..., 2)`` and *covariance* ``(..., 2, 2)``."""

    mean: Floats
    covariance: Floats


def moment_match(means: ArrayLike, covariances: ArrayLike, weights: ArrayLike) -> Moments:
    """
    The mean and covariance of the mixture of M Gaussians, ``(..., M, 2)`` and ``(..., M, 2, 2)``.

    Right for members that are alternative models of the same data: they share most of their errors, and how
    far they disagree is part of what is not known.  *weights* ``(..., M)`` are brought to sum one.
    ``CovarianceError`` and ``FusionError`` for what cannot be combined.

    >>> means = np.array([[0.0, 0.0], [2.0, 0.0]])
    >>> match = moment_match(means, np.array([np.eye(2)] * 2), np.array([0.5, 0.5]))
    >>> match.mean.tolist(), (match.within + match.between).tolist()
    ([1.0, 0.0], [[2.0, 0.0], [0.0, 1.0]])
    """
    places, spreads = _checked(means, covariances)
    return moments_of(places, spreads, normalised(weights, places.shape[-2]))


def moments_of(means: Floats, covariances: Floats, weights: Floats) -> Moments:
    """As ``moment_match``, of what is checked already; *weights* sum to one."""
    mean = np.matmul(weights[..., None, :], means)[..., 0, :]
    residual = means - mean[..., None, :]
    between = np.matmul(np.swapaxes(residual * weights[..., None], -1, -2), residual)
    flat = covariances.reshape(*covariances.shape[:-2], 4)
    within = np.matmul(weights[..., None, :], flat)[..., 0, :]
    return Moments(mean, within.reshape(*within.shape[:-1], 2, 2), between)


def sample_moments(means: Floats) -> Estimate:
    """
    The mean of M points ``(..., M, 2)`` and how they scatter about it, with M - 1 as the divisor.

    It says where one more draw from the same source would fall, so it is right for members of which the truth
    could be one.  Its ellipse needs the F scale of a covariance from few draws, not the chi-square one: five
    draws make a chi-square "95 %" hold 70 %.

    >>> estimate = sample_moments(np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]))
    >>> estimate.mean.tolist(), estimate.covariance.tolist()
    ([1.0, 1.0], [[1.0, 0.0], [0.0, 3.0]])
    """
    mean = means.mean(axis=-2)
    residual = means - mean[..., None, :]
    scatter = np.matmul(np.swapaxes(residual, -1, -2), residual) / (means.shape[-2] - 1)
    return Estimate(mean, scatter)


def inverse_variance(means: ArrayLike, covariances: ArrayLike) -> Estimate:
    """
    The best estimate from M members whose errors are provably independent, and only from those.

    Members trained on the same data are not: a "95 %" ellipse then holds 48 to 78 % of the truth.
    ``CovarianceError`` and ``FusionError`` for what cannot be combined.
    """
    places, spreads = _checked(means, covariances)
    return weighed(places, inverse(spreads), np.ones(places.shape[-2]))


def covariance_intersection(
    means: ArrayLike, covariances: ArrayLike, weights: ArrayLike | None = None, minimise: str = "determinant"
) -> Estimate:
    """
    An estimate that is never too sure, however the errors of M members ``(..., M, 2)``, ``(..., M, 2, 2)`` are
    correlated.

    Without *weights*, those which make the ``determinant`` or the ``trace`` of the outcome least; *weights*
    ``(..., M)`` are brought to sum one.  ``CovarianceError`` and ``FusionError`` for what cannot be combined.

    >>> estimate = covariance_intersection(np.zeros((2, 2)), np.array([np.diag([4.0, 1.0]), np.diag([1.0, 4.0])]))
    >>> estimate.covariance.diagonal().tolist()
    [1.6, 1.6]
    """
    places, spreads = _checked(means, covariances)
    precisions = inverse(spreads)
    best = intersection_weights(precisions, minimise) if weights is None else normalised(weights, places.shape[-2])
    return weighed(places, precisions, best)


def weighed(means: Floats, precisions: Floats, weights: Floats) -> Estimate:
    """The mean of ``(..., M, 2)`` by *precisions* ``(..., M, 2, 2)`` times *weights*, whose sum is its precision."""
    weighted = precisions * weights[..., None, None]
    covariance = inverse(weighted.sum(axis=-3))
    information = np.sum(np.matmul(weighted, means[..., None]), axis=-3)
    return Estimate(np.matmul(covariance, information)[..., 0], covariance)


def normalised(weights: ArrayLike, members: int) -> Floats:
    """
    The *weights* ``(..., members)``, from 0 on, as shares that sum to one; ``FusionError`` where they are none.

    >>> normalised([1, 3], 2).tolist()
    [0.25, 0.75]
    """
    given = real(weights, lambda came: FusionError(f"expected {members} weights, got {came}")).astype(np.float64)
    total = given.sum(axis=-1, keepdims=True)
    if given.shape[-1:] != (members,) or not np.all((given >= 0) & (total > 0) & (total < np.inf)):
        raise FusionError(f"expected {members} weights from 0 on, and not all 0, got {given.tolist()}")
    return np.asarray(given / total)


def geometric_median(points: ArrayLike, weights: ArrayLike, *, rounds: int = 1000, precision: float = 1e-12) -> Floats:
    """
    The point ``(..., 2)`` with the least weighted sum of distances to ``(..., M, 2)``.

    Half of the members may be anywhere without carrying it off.  Weiszfeld's iteration, with the step of
    Vardi and Zhang where it stands on a member; a row's ends when its step is no longer than *precision* times
    its spread, whatever its neighbours do: a fix does not depend on who was asked with it.  ``FusionError`` for points
    and weights that are none.

    >>> corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [100.0, 100.0]])
    >>> geometric_median(corners, np.full(5, 0.2)).round(6).tolist()
    [0.788675, 0.788675]
    """
    places = _points(points)
    shares = normalised(weights, places.shape[-2])
    point: Floats = np.median(places, axis=-2)
    spread = np.abs(places - point[..., None, :]).max(axis=(-2, -1))[..., None]
    moving = np.ones(spread.shape, dtype=np.bool_)
    for _ in range(rounds):
        improved = _weiszfeld(point, places, shares, spread)
        step = np.abs(improved - point)
        point = np.where(moving, improved, point)
        moving &= np.any(step > precision * spread, axis=-1, keepdims=True)
        if not moving.any():
            break
    return point


def _points(points: ArrayLike) -> Floats:
    places = real(points, lambda came: FusionError(f"expected points of numbers, got {came}")).astype(np.float64)
    if places.ndim < 2 or places.shape[-1] != 2 or not places.shape[-2]:
        raise FusionError(f"expected points of shape (..., M, 2), got {places.shape}")
    if not np.isfinite(places).all():
        raise FusionError(f"a point is not finite: {places[~np.isfinite(places).all(axis=-1)][0].tolist()}")
    return places


def _checked(means: ArrayLike, covariances: ArrayLike) -> tuple[Floats, Floats]:
    places, spreads = _points(means), checked_covariance(covariances)
    if spreads.shape not in (expected := ((*places.shape, 2), (*places.shape[-2:], 2))):
        raise FusionError(f"expected covariances of shape {expected[0]} or {expected[1]}, got {spreads.shape}")
    return places, spreads


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
