"""Several members' positions and covariances, one fix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sextant.arrays import real
from sextant.covariance import checked_covariance, inverse, turned
from sextant.ellipse import FEWEST_DRAWS
from sextant.errors import CalibrationError, FusionError
from sextant.geodesy import FARTHEST_M, STILL_M, Leg, centre_and_legs, checked_places, nowhere, reach, sight
from sextant.intersection import intersection_weights, refuse_unknown_aim
from sextant.outliers import agreement
from sextant.plane import Moments, moments_of, normalised, sample_moments, weighed
from sextant.tensors import Floats, Mask

METHODS = ("moment", "covariance_intersection", "inverse_variance", "spread")
# These weigh by the inverse of a covariance, which then must have one.
WEIGHING = ("covariance_intersection", "inverse_variance")
# What these methods weigh members by is not for anybody to say.
WEIGHTLESS = ("inverse_variance", "spread")
# Two members a distance 2 d apart, in their standard deviations, have two peaks from d = 2 on, where the
# share of their disagreement in the total variance is two thirds.
TWO_PEAKS = 2 / 3
# In the plane that touches the earth at an origin, lengths across the line of sight are too long by
# (r/R)^2/6: at 100 km, 4e-5, so variances are right to 1e-4 and the mean of members within a kilometre to a
# millimetre.
PLANE_RADIUS_M = 100_000.0
FEWEST_RESIDUALS = 3
# Each step towards the mean on the ellipsoid leaves (spread / earth radius)^2 of the way.
_STEPS = 100


class Fused(NamedTuple):
    """
    One fix a row.

    *position* ``(B, 2)`` is latitude and longitude in degrees, *covariance* ``(B, 2, 2)`` is in square
    metres, east before north.  *between_share* ``(B,)`` is the share of the members' disagreement in the
    variance of their mixture, whatever the method, and *multimodal* ``(B,)`` says that the members see two places, not
    one: it exceeds two thirds, or they contradict each other beyond the gate and no quorum can say who is wrong.
    Where the spread is all there is, its share is one and nothing is said of peaks.  *kept* ``(B, M)`` are the members
    that count.
    """

    position: Floats
    covariance: Floats
    between_share: Floats
    members_used: NDArray[np.int32]
    multimodal: Mask
    kept: Mask


class Method(NamedTuple):
    """
    How members become one: a *name* of ``METHODS``, and what covariance intersection is to *minimise*.

    - ``moment``: the mean and covariance of the members' mixture.  For alternative models of the same data, whose
      errors are mostly shared: never too sure, whatever the correlation.
    - ``covariance_intersection``: for estimates whose correlation nobody knows.
    - ``inverse_variance``: for errors that are provably independent, and only for those.
    - ``spread``: how members scatter, where they say nothing of themselves.  The fix is their mean and the covariance
      their sample covariance, so that an ellipse on the F scale of so few draws (science A2) holds one more draw from
      where they came from, the scatter of their own mean included: a truth that could have been a member, as with
      draws from a posterior.  Where members are the truth and an error each, with correlation rho between errors, it
      holds what it says at rho = 1/2 exactly and more below.  Beyond, members agree on an error that no spread
      shows, and only calibration helps.
    """

    name: str = "moment"
    minimise: str | None = None


def fuse(
    positions: ArrayLike,
    covariances: ArrayLike | None,
    weights: ArrayLike | None = None,
    gate: float | None = 0.99,
    *,
    method: str = "moment",
    minimise: str = "determinant",
) -> Fused:
    """
    The fix of M members whose answers are latitudes and longitudes.

    *positions* ``(B, M, 2)`` in degrees; *covariances* ``(B, M, 2, 2)`` or ``(M, 2, 2)`` in square metres,
    each in the east and north of its own member, and None for the *method* ``spread``; *weights* ``(M,)``, equal if
    absent, and those of the intersection where it is not to *minimise* a ``determinant`` or a ``trace``.  A member
    outside the *gate*, a probability, is left out where a quorum agrees without it; ``None`` keeps all.
    ``CovarianceError`` and ``FusionError`` for what cannot be combined.

    >>> fix = fuse([[[10.0, 179.999], [10.0, -179.999]]], np.diag([400.0, 100.0]) * np.ones((2, 1, 1)))
    >>> fix.position.round(6).tolist(), fix.covariance.round(1).tolist(), fix.multimodal.tolist()
    ([[10.0, 180.0]], [[[12420.8, 0.0], [0.0, 100.0]]], [True])
    """
    members = _checked(positions, covariances, weights, gate, _method(method, minimise, weights))
    places = "at a latitude within 90 degrees and a longitude within 360"
    _refuse_each(nowhere(members.positions), members.positions, places)
    return on_the_earth(members)


def fuse_about(
    origin: ArrayLike,
    east_north: ArrayLike,
    covariances: ArrayLike | None,
    weights: ArrayLike | None = None,
    gate: float | None = 0.99,
    *,
    method: str = "moment",
    minimise: str = "determinant",
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
    members = _checked(east_north, covariances, weights, gate, _method(method, minimise, weights))
    beyond = np.hypot(members.positions[..., 0], members.positions[..., 1]) > FARTHEST_M
    _refuse_each(beyond, members.positions, f"within {FARTHEST_M:.0f} m of the origin, half the way round the earth")
    return about(checked_places(origin, "origin"), members)


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
    if len(residuals) < FEWEST_RESIDUALS:
        raise CalibrationError(f"a covariance needs {FEWEST_RESIDUALS} residuals or more, got {len(residuals)}")
    if not np.isfinite(residuals).all():
        raise CalibrationError("a residual is not finite")
    covariance: Floats = residuals.T @ residuals / len(residuals)
    return covariance


class Members(NamedTuple):
    """
    What is fused, checked already.

    *positions* ``(B, M, 2)``, *covariances* ``(B, M, 2, 2)`` or ``(M, 2, 2)``, *weights* ``(M,)`` that sum to
    one, the *gate* and the *method*, of which ``spread`` has neither covariances nor a gate.
    """

    positions: Floats
    covariances: Floats | None
    weights: Floats
    gate: float | None
    method: Method = Method()


def about(origin: Floats, members: Members) -> Fused:
    """As ``fuse_about``, of members that are checked already."""
    far = np.abs(members.positions).max(axis=(-2, -1), initial=0.0) > PLANE_RADIUS_M
    if not far.any():
        return _in_the_plane(origin, members)
    near = _in_the_plane(origin, members._replace(positions=np.where(far[:, None, None], 0.0, members.positions)))
    legs = reach(origin, members.positions[far])
    spreads = _turned(_of_rows(members.covariances, far), legs.convergence)
    distant = on_the_earth(members._replace(positions=legs.end, covariances=spreads))
    for array, distant_rows in zip(near, distant, strict=True):
        np.asarray(array)[far] = distant_rows
    return near


def on_the_earth(members: Members) -> Fused:
    """
    As ``fuse``, of members that are checked already.

    Who counts, and how much, is decided in the plane that touches the earth at the mean of all; the mean that this
    gives is then found by going there, until the step from it is nothing.
    """
    places, spreads = members.positions, members.covariances
    centre, legs = centre_and_legs(places, members.weights)
    offsets, local = legs.end, _turned(spreads, -legs.convergence)
    votes = _votes(members, offsets, local)
    for _ in range(_STEPS):
        found = _combined(members, offsets, local, votes)
        moving = np.abs(found.mean).max(axis=-1) >= STILL_M
        if not moving.any():
            return _fused(members, centre, found, votes)
        centre[moving], again = _gone_to(found.mean[moving], centre[moving], places[moving])
        offsets[moving] = again.end
        if local is not None:
            local[moving] = _turned(_of_rows(spreads, moving), -again.convergence)
    raise FusionError("positions spread over the whole earth have no mean")


class _Votes(NamedTuple):
    """Who is *kept* ``(B, M)``, what each counts, *shares* ``(M,)`` or ``(B, M)``, and which rows are *contested*."""

    kept: Mask
    shares: Floats
    contested: Mask


class _Combined(NamedTuple):
    mean: Floats
    covariance: Floats
    between_share: Floats


def _in_the_plane(origin: Floats, members: Members) -> Fused:
    offsets, spreads = members.positions, members.covariances
    votes = _votes(members, offsets, spreads)
    found = _combined(members, offsets, spreads, votes)
    leg = reach(origin, found.mean)
    covariance = turned(found.covariance, leg.convergence)
    return _fused(members, leg.end, found._replace(covariance=covariance), votes)


def _gone_to(step: Floats, centre: Floats, places: Floats) -> tuple[Floats, Leg]:
    """The point a *step* from each *centre*, and the legs from there to *places*."""
    there = reach(centre, step).end
    return there, sight(there[:, None, :], places)


def _votes(members: Members, offsets: Floats, spreads: Floats | None) -> _Votes:
    weights, method = members.weights, members.method
    if spreads is None:
        return _Votes(np.ones(offsets.shape[:-1], dtype=np.bool_), weights, np.zeros(len(offsets), dtype=np.bool_))
    kept, contested = agreement(offsets, spreads, weights, members.gate)
    if method.name == "inverse_variance":
        return _Votes(kept, kept.astype(np.float64), contested)
    if method.name != "covariance_intersection" or method.minimise is None:
        return _Votes(kept, _among(kept, weights), contested)
    precisions = inverse(spreads)
    # What is left out says nothing: without information it never gets a weight.
    told = precisions if kept.all() else precisions * kept[..., None, None]
    return _Votes(kept, intersection_weights(told, method.minimise), contested)


def _combined(members: Members, offsets: Floats, spreads: Floats | None, votes: _Votes) -> _Combined:
    """The rule itself, in one plane."""
    if spreads is None:
        sample = sample_moments(offsets)
        return _Combined(*sample, np.ones(len(offsets)))
    if members.method.name == "moment":
        moments = moments_of(offsets, spreads, votes.shares)
        return _Combined(moments.mean, moments.within + moments.between, _share_between(moments))
    estimate = weighed(offsets, inverse(spreads), votes.shares)
    covariance = np.broadcast_to(estimate.covariance, (*estimate.mean.shape, 2))
    mixture = moments_of(offsets, spreads, _among(votes.kept, members.weights))
    return _Combined(estimate.mean, covariance, _share_between(mixture))


def _share_between(moments: Moments) -> Floats:
    """The share of the variance that lies between the members, which does not depend on where east is."""
    apart = moments.between[:, 0, 0] + moments.between[:, 1, 1]
    total = apart + moments.within[..., 0, 0] + moments.within[..., 1, 1]
    return np.divide(apart, total, out=np.zeros_like(apart), where=total > 0)


def _fused(members: Members, position: Floats, found: _Combined, votes: _Votes) -> Fused:
    _, covariance, share = found
    peaks = ((share > TWO_PEAKS) | votes.contested) & (members.covariances is not None)
    return Fused(position, covariance, share, votes.kept.sum(axis=-1, dtype=np.int32), peaks, votes.kept)


def _turned(covariances: Floats | None, angle: Floats) -> Floats | None:
    return None if covariances is None else turned(covariances, angle)


def _of_rows(covariances: Floats | None, rows: Mask) -> Floats | None:
    return covariances if covariances is None or covariances.ndim == 3 else covariances[rows]


def _among(kept: Mask, weights: Floats) -> Floats:
    """The weights ``(M,)``, or ``(B, M)`` where some member is left out of some row."""
    if kept.all():
        return weights
    share = kept * weights
    return np.asarray(share / share.sum(axis=-1, keepdims=True))


def _checked(
    positions: ArrayLike,
    covariances: ArrayLike | None,
    weights: ArrayLike | None,
    gate: float | None,
    method: Method,
) -> Members:
    places = real(positions, lambda came: FusionError(f"expected positions of numbers, got {came}")).astype(np.float64)
    if places.ndim != 3 or places.shape[1] == 0 or places.shape[2] != 2:
        raise FusionError(f"expected positions of shape (B, M, 2), got {places.shape}")
    if not np.isfinite(places).all():
        row, member = np.argwhere(~np.isfinite(places))[0][:2]
        raise FusionError(f"row {row}: the position of member {member} is not finite")
    _refuse_misfit(method, places.shape[1], covariances, weights)
    shares = _normalised(weights, places.shape[1])
    if covariances is None:
        return Members(places, None, shares, None, method)
    spreads = checked_covariance(covariances)
    if spreads.shape not in (expected := ((*places.shape, 2), (*places.shape[1:], 2))):
        raise FusionError(f"expected covariances of shape {expected[0]} or {expected[1]}, got {spreads.shape}")
    return Members(places, spreads, shares, gate, method)


def _refuse_each(bad: Mask, positions: Floats, expected: str) -> None:
    if bad.any():
        row, member = np.argwhere(bad)[0].tolist()
        came = "{:.10g}, {:.10g}".format(*positions[row, member])
        raise FusionError(f"row {row}: expected member {member} {expected}, got {came}")


def _refuse_misfit(method: Method, members: int, covariances: ArrayLike | None, weights: ArrayLike | None) -> None:
    if method.name not in METHODS:
        raise FusionError(f"expected a method of {', '.join(METHODS)}, got {method.name!r}")
    if method.minimise is not None:
        refuse_unknown_aim(method.minimise)
    if method.name in WEIGHTLESS and weights is not None:
        raise FusionError(f"{method.name} has weights of its own: leave them out")
    if (method.name == "spread") != (covariances is None):
        said = "is how members scatter: leave covariances out" if method.name == "spread" else "needs covariances"
        raise FusionError(f"{method.name} {said}")
    if method.name == "spread" and members < FEWEST_DRAWS:
        raise FusionError(f"spread needs {FEWEST_DRAWS} members or more, got {members}")


def _method(name: str, minimise: str, weights: ArrayLike | None) -> Method:
    """Weights that are given leave nothing to minimise."""
    return Method(name, minimise if weights is None else None)


def _normalised(weights: ArrayLike | None, members: int) -> Floats:
    if weights is None:
        return np.full(members, 1 / members)
    given = real(weights, lambda came: FusionError(f"expected {members} positive weights, got {came}"))
    if given.shape != (members,) or not np.all(given > 0):
        raise FusionError(f"expected {members} positive weights, got {given.tolist()}")
    return normalised(given, members)
