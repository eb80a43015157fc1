"""Several members' positions and covariances, one fix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.covariance import checked_covariance, turned
from sextant.errors import CalibrationError, FusionError
from sextant.geodesy import centre_and_legs, reach
from sextant.outliers import agreeing
from sextant.plane import moment_match
from sextant.tensors import Floats, Mask

# Two members a distance 2 d apart, in their standard deviations, have two peaks from d = 2 on, where the
# share of their disagreement in the total variance is two thirds.
_TWO_PEAKS = 2 / 3
# In the plane that touches the earth at an origin, lengths across the line of sight are too long by
# (r/R)^2/6: at 100 km, 4e-5, so variances are right to 1e-4 and the mean of members within a kilometre to a
# millimetre.
PLANE_RADIUS_M = 100_000.0
_FEWEST_RESIDUALS = 3


class Fused(NamedTuple):
    """
    One fix a row.

    *position* ``(B, 2)`` is latitude and longitude in degrees, *covariance* ``(B, 2, 2)`` is in square
    metres, east before north.  *between_share* ``(B,)`` is the share of the members' disagreement in the
    total variance, and *multimodal* ``(B,)`` says that it exceeds two thirds: the members see two places,
    not one.
    """

    position: Floats
    covariance: Floats
    between_share: Floats
    members_used: NDArray[np.int32]
    multimodal: Mask


def fuse(
    positions: ArrayLike, covariances: ArrayLike, weights: ArrayLike | None = None, gate: float | None = 0.99
) -> Fused:
    """
    The fix of M members whose answers are latitudes and longitudes.

    *positions* ``(B, M, 2)`` in degrees; *covariances* ``(B, M, 2, 2)`` or ``(M, 2, 2)`` in square metres,
    each in the east and north of its own member; *weights* ``(M,)``, equal if absent.  A member outside the
    *gate*, a probability, is left out where a quorum agrees without it; ``None`` keeps all.
    ``CovarianceError`` and ``FusionError`` for what cannot be combined.

    >>> fix = fuse([[[10.0, 179.999], [10.0, -179.999]]], np.diag([400.0, 100.0]) * np.ones((2, 1, 1)))
    >>> fix.position.round(6).tolist(), fix.covariance.round(1).tolist(), fix.multimodal.tolist()
    ([[10.0, 180.0]], [[[12420.8, 0.0], [0.0, 100.0]]], [True])
    """
    return on_the_earth(_checked(positions, covariances, weights, gate))


def fuse_about(
    origin: ArrayLike,
    east_north: ArrayLike,
    covariances: ArrayLike,
    weights: ArrayLike | None = None,
    gate: float | None = 0.99,
) -> Fused:
    """
    The fix of M members whose answers ``(B, M, 2)`` are metres east and north of *origin*, along the
    geodesic.

    As ``fuse``, with covariances in the east and north of *origin*.  Within 100 km of it the members are
    combined in its plane and only their mean is taken to the ellipsoid; rows that reach farther are
    combined on the ellipsoid.

    >>> fix = fuse_about((48.0, 11.0), [[[100.0, 0.0], [120.0, 0.0]]], [[[9.0, 0.0], [0.0, 4.0]]] * 2)
    >>> fix.position.round(6).tolist(), fix.covariance.round(3).tolist()
    ([[48.0, 11.001474]], [[[109.0, -0.002], [-0.002, 4.0]]])
    """
    members = _checked(east_north, covariances, weights, gate)
    return about(np.asarray(origin, dtype=np.float64), members)


def residual_covariance(residuals_east_north: ArrayLike) -> Floats:
    """
    The covariance ``(2, 2)`` of a member's errors ``(N, 2)``, in metres east and north, on rows it did not
    learn from.

    About zero and not about their mean: what a member is off by on average is part of its error.
    ``CalibrationError`` for fewer than three rows, or one that is not finite.

    >>> residual_covariance([[1.0, 0.0], [-1.0, 0.0], [0.0, 3.0]]).round(3).tolist()
    [[0.667, 0.0], [0.0, 3.0]]
    """
    residuals = np.asarray(residuals_east_north, dtype=np.float64)
    if len(residuals) < _FEWEST_RESIDUALS:
        raise CalibrationError(f"a covariance needs {_FEWEST_RESIDUALS} residuals or more, got {len(residuals)}")
    if not np.isfinite(residuals).all():
        raise CalibrationError("a residual is not finite")
    covariance: Floats = residuals.T @ residuals / len(residuals)
    return covariance


class Members(NamedTuple):
    """
    What is fused, checked already.

    *positions* ``(B, M, 2)``, *covariances* ``(B, M, 2, 2)`` or ``(M, 2, 2)``, *weights* ``(M,)`` that sum to
    one, and the *gate*.
    """

    positions: Floats
    covariances: Floats
    weights: Floats
    gate: float | None


def about(origin: Floats, members: Members) -> Fused:
    """As ``fuse_about``, of members that are checked already."""
    far = np.abs(members.positions).max(axis=(-2, -1), initial=0.0) > PLANE_RADIUS_M
    if not far.any():
        return _in_the_plane(origin, members)
    near = _in_the_plane(origin, members._replace(positions=np.where(far[:, None, None], 0.0, members.positions)))
    legs = reach(origin, members.positions[far])
    spreads = turned(_of_rows(members.covariances, far), legs.convergence)
    distant = on_the_earth(members._replace(positions=legs.end, covariances=spreads))
    for array, distant_rows in zip(near, distant, strict=True):
        np.asarray(array)[far] = distant_rows
    return near


def on_the_earth(members: Members) -> Fused:
    """As ``fuse``, of members that are checked already."""
    places, spreads, weights, gate = members
    centre, legs = centre_and_legs(places, weights)
    local = turned(spreads, -legs.convergence)
    kept = agreeing(legs.end, local, weights, gate)
    share = _among(kept, weights)
    dropped = ~kept.all(axis=-1)
    if dropped.any():
        centre[dropped], again = centre_and_legs(places[dropped], share[dropped])
        legs.end[dropped] = again.end
        local[dropped] = turned(_of_rows(spreads, dropped), -again.convergence)
    moments = moment_match(legs.end, local, share)
    return _fused(centre, moments.within + moments.between, moments.between, kept)


def _in_the_plane(origin: Floats, members: Members) -> Fused:
    offsets, spreads, weights, gate = members
    kept = agreeing(offsets, spreads, weights, gate)
    moments = moment_match(offsets, spreads, _among(kept, weights))
    leg = reach(origin, moments.mean)
    return _fused(leg.end, turned(moments.within + moments.between, leg.convergence), moments.between, kept)


def _fused(position: Floats, covariance: Floats, between: Floats, kept: Mask) -> Fused:
    """A fix with the shares of its variance, which do not depend on where its east is."""
    apart = between[:, 0, 0] + between[:, 1, 1]
    total = covariance[:, 0, 0] + covariance[:, 1, 1]
    share = np.divide(apart, total, out=np.zeros_like(apart), where=total > 0)
    used = kept.sum(axis=-1, dtype=np.int32)
    return Fused(position, covariance, share, used, share > _TWO_PEAKS)


def _of_rows(covariances: Floats, rows: Mask) -> Floats:
    return covariances if covariances.ndim == 3 else covariances[rows]


def _among(kept: Mask, weights: Floats) -> Floats:
    """The weights ``(M,)``, or ``(B, M)`` where some member is left out of some row."""
    if kept.all():
        return weights
    share = kept * weights
    normalised: Floats = share / share.sum(axis=-1, keepdims=True)
    return normalised


def _checked(positions: ArrayLike, covariances: ArrayLike, weights: ArrayLike | None, gate: float | None) -> Members:
    places = np.asarray(positions, dtype=np.float64)
    if places.ndim != 3 or places.shape[1] == 0 or places.shape[2] != 2:
        raise FusionError(f"expected positions of shape (B, M, 2), got {places.shape}")
    if not np.isfinite(places).all():
        row, member = np.argwhere(~np.isfinite(places))[0][:2]
        raise FusionError(f"row {row}: the position of member {member} is not finite")
    spreads = checked_covariance(covariances)
    if spreads.shape not in (expected := ((*places.shape, 2), (*places.shape[1:], 2))):
        raise FusionError(f"expected covariances of shape {expected[0]} or {expected[1]}, got {spreads.shape}")
    return Members(places, spreads, _normalised(weights, places.shape[1]), gate)


def _normalised(weights: ArrayLike | None, members: int) -> Floats:
    given = np.ones(members) if weights is None else np.asarray(weights, dtype=np.float64)
    if given.shape != (members,) or not np.all(given > 0) or not np.isfinite(given).all():
        raise FusionError(f"expected {members} positive weights, got {np.asarray(weights).tolist()}")
    normalised: Floats = given / given.sum()
    return normalised
