"""The block ``fuse`` as nodes, where it works in the plane of one origin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from sextant.ellipse import mahalanobis_radius
from sextant.frames import EAST_NORTH_M, of_member
from sextant.fuse import PLANE_RADIUS_M, TWO_PEAKS
from sextant.outliers import QUORUM
from sextant.parameters import read_weights
from sextant.tensors import Floats
from sextant_export.fusing.covariance import Spread
from sextant_export.fusing.graph import Value, concat, where
from sextant_export.fusing.plane import reach
from sextant_export.fusing.spreads import spreads
from sextant_export.fusing.written import Written, for_all

KNOWN = frozenset(
    {
        "members",
        "member_covariances",
        "frame",
        "origin",
        "method",
        "gate",
        "weights",
        "minimise",
        "members_are_independent",
        "slots",
        "projections",
    }
)


def obstacle(parameters: Mapping[str, Any]) -> str | None:
    """Why it cannot be nodes; None where it can."""
    members, method = list(parameters["members"]), parameters.get("method") or "moment"
    if _origin(parameters) is None:
        return (
            f"its members do not all answer in the frame {EAST_NORTH_M} about one origin, and members that are apart "
            "on the ellipsoid are fused by iteration"
        )
    if method == "covariance_intersection" and parameters.get("weights") is None:
        return "the weights of covariance_intersection are found by iteration; state them in `weights`"
    if method != "spread" and parameters.get("gate", 0.99) is not None and len(members) > QUORUM:
        return (
            f"its gate may leave out one of {len(members)} members, by a median that is found by iteration; "
            "`gate: null` keeps all, and of three members or fewer none is ever left out"
        )
    return None


class _Plane(NamedTuple):
    """
    Members in their plane, a member a column.

    *east* and *north* ``(B, M)``, how far each is from the weighted mean, that mean ``(B, 2)`` in units of the plane's
    radius, and what they say of their errors, if anything.
    """

    east: Value
    north: Value
    apart_east: Value
    apart_north: Value
    mean: Value
    spread: Spread | None


class _Found(NamedTuple):
    """The rule's *mean* ``(B, 2)`` in units of the plane's radius, and its spread."""

    mean: Value
    spread: Spread


def write(parameters: Mapping[str, Any], inputs: Mapping[str, Value]) -> Written:
    """
    The ``fused_*`` tensors.

    A row in which a member answers beyond the plane is refused: the block fuses it on the ellipsoid, by iteration.
    """
    members, method = len(parameters["members"]), parameters.get("method") or "moment"
    weights = _weights(parameters)
    plane, admitted = _plane(parameters, inputs, weights)
    between = _between(plane, weights)
    found, possible = _found(method, weights, plane, between)
    for one in possible:
        admitted = admitted & one
    origin = _origin(parameters)
    assert origin is not None  # noqa: S101 - that would be an obstacle
    reached = reach(origin, found.mean)
    spread = found.spread.turned(reached.along, reached.across)
    share = _share(plane, between, weights)
    outputs = {
        "fused_position": reached.position,
        "fused_covariance": concat([spread.east, spread.cross, spread.cross, spread.north]).reshape(0, 2, 2),
        "fused_between_share": share,
        "fused_multimodal": _peaks(parameters, plane, share),
        "fused_members_used": for_all(admitted, np.array([[members]], dtype=np.int32)),
        "fused_members_rejected": for_all(admitted, np.array([[""]], dtype=object)),
    }
    return Written(outputs, ~admitted)


def _plane(parameters: Mapping[str, Any], inputs: Mapping[str, Value], weights: Floats) -> tuple[_Plane, Value]:
    """The members, and which rows ``(B, 1)`` can be fused."""
    members = len(weights)
    answers = concat([inputs[f"member_{slot}"].cast(np.float64) for slot in range(members)])
    admitted = (abs(answers) <= PLANE_RADIUS_M).all()
    east, north, apart_east, apart_north, mean = (answers @ _arranged(weights)).split(*[members] * 4, 2)
    if parameters.get("method") == "spread":
        return _Plane(east, north, apart_east, apart_north, mean, None), admitted
    spread, others = spreads(parameters, inputs, members)
    for other in others:
        admitted = admitted & other
    return _Plane(east, north, apart_east, apart_north, mean, spread), admitted


def _arranged(weights: Floats) -> Floats:
    """What brings positions ``(B, 2 * M)`` into the columns of :class:`_Plane`."""
    members = len(weights)
    positions = np.eye(2 * members).reshape(2 * members, members, 2)
    mean = np.einsum("m,pmc->pc", weights, positions)
    apart = positions - mean[:, None]
    columns = [positions[..., 0], positions[..., 1], apart[..., 0], apart[..., 1], mean / PLANE_RADIUS_M]
    return np.concatenate(columns, axis=1)


def _between(plane: _Plane, weights: Floats) -> Spread:
    """How far members are apart: the weighted second moments about their mean."""
    east, north = plane.apart_east, plane.apart_north
    return Spread(east * east, east * north, north * north).total(east.like(weights[:, None]))


def _found(method: str, weights: Floats, plane: _Plane, between: Spread) -> tuple[_Found, list[Value]]:
    """The rule itself, and which rows ``(B, 1)`` it has an answer for."""
    if plane.spread is None:
        scale = len(weights) / (len(weights) - 1)
        return _Found(plane.mean, Spread(*(moment * scale for moment in between))), []
    if method == "moment":
        within = plane.spread.total(plane.east.like(weights[:, None]))
        return _Found(plane.mean, between.plus(within)), []
    return _weighed(plane, plane.spread, np.ones(len(weights)) if method == "inverse_variance" else weights)


def _weighed(plane: _Plane, spread: Spread, shares: Floats) -> tuple[_Found, list[Value]]:
    """The mean by precisions times *shares*, whose sum is its precision."""
    column = plane.east.like(shares[:, None])
    precisions, each = spread.inverse()
    covariance, together = precisions.total(column).inverse()
    east = (precisions.east * plane.east + precisions.cross * plane.north) @ column
    north = (precisions.cross * plane.east + precisions.north * plane.north) @ column
    mean = [covariance.east * east + covariance.cross * north, covariance.cross * east + covariance.north * north]
    return _Found(concat(mean) * (1 / PLANE_RADIUS_M), covariance), [each.all(), together]


def _share(plane: _Plane, between: Spread, weights: Floats) -> Value:
    """The share of the mixture's variance that lies between members; all of it where nothing is known of them."""
    apart = between.east + between.north
    if plane.spread is None:
        return for_all(apart >= 0.0, np.ones((1, 1)))
    within = (plane.spread.east + plane.spread.north) @ plane.east.like(weights[:, None])
    total = apart + within
    return where(total > 0.0, apart / total, 0.0)


def _peaks(parameters: Mapping[str, Any], plane: _Plane, share: Value) -> Value:
    """Which rows ``(B, 1)`` see two places."""
    if plane.spread is None:
        return for_all(share >= 0.0, told=False)
    disagreeing, gate = share > TWO_PEAKS, parameters.get("gate", 0.99)
    members = len(parameters["members"])
    if gate is None or members == 1:
        return disagreeing
    return disagreeing | _contradicting(plane, plane.spread, members, float(mahalanobis_radius(gate)) ** 2)


def _contradicting(plane: _Plane, spread: Spread, members: int, threshold: float) -> Value:
    """Which rows have two members that are too far apart, by both their covariances."""
    pairs = np.eye(members)[:, np.triu_indices(members, 1)]
    apart, both = pairs[:, 0] - pairs[:, 1], plane.east.like(pairs[:, 0] + pairs[:, 1])
    east, north = plane.east @ apart, plane.north @ apart
    together = spread.total(both).widened()
    squared = together.north * east * east - together.cross * east * north * 2.0 + together.east * north * north
    return (squared > together.determinant * threshold).any()


def _weights(parameters: Mapping[str, Any]) -> Floats:
    members = parameters["members"]
    weights = np.ones(len(members)) if parameters.get("weights") is None else read_weights(parameters, members)
    return np.asarray(weights / weights.sum())


def _origin(parameters: Mapping[str, Any]) -> Floats | None:
    """The one origin of all members, None where they have several, or some answer in no plane."""
    members = parameters["members"]
    frames, origins = ([of_member(parameters.get(key), member) for member in members] for key in ("frame", "origin"))
    same = all(frame == EAST_NORTH_M for frame in frames) and all(origin == origins[0] for origin in origins)
    return np.asarray(origins[0], dtype=np.float64) if same else None
