"""What members say of their own errors, and what was measured of them, as columns of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sextant.covariance import LARGEST_LOGARITHM, LARGEST_SIGMA, ROUNDING, checked_covariance, forgiven_rounding
from sextant.tensors import Floats
from sextant_export.fusing.covariance import Spread, checked
from sextant_export.fusing.graph import Value, concat


def spreads(parameters: Mapping[str, Any], inputs: Mapping[str, Value], members: int) -> tuple[Spread, list[Value]]:
    """Every member's covariance, and which rows ``(B, 1)`` are admitted, for each thing that could be wrong."""
    said = {slot: _said(inputs, slot) for slot in range(members)}
    flat = [(slot, *found) for slot, found in said.items() if found is not None]
    known = _known(parameters, [slot for slot, found in said.items() if found is None], members)
    if not flat:
        graph = next(iter(inputs.values())).graph
        return Spread(*(graph.constant(row[None]) for row in known[[0, 1, 3]])), []
    spread, admitted = checked(
        concat([value for _, value, _, _ in flat]) @ _places([slot for slot, *_ in flat], members) + known.reshape(-1),
        members,
        _roundings({slot: rounding for slot, _, rounding, _ in flat}, members),
    )
    return spread, [admitted, *(one for *_, one in flat if one is not None)]


def _said(inputs: Mapping[str, Value], slot: int) -> tuple[Value, float, Value | None] | None:
    """A member's own covariance ``(B, 4)``, the rounding it is forgiven, and rows that are admitted besides."""
    if (covariance := inputs.get(f"covariance_{slot}")) is not None:
        return covariance.cast(np.float64).reshape(0, 4), forgiven_rounding(covariance.dtype), None
    if (sigmas := inputs.get(f"sigmas_{slot}")) is not None:
        wide = sigmas.cast(np.float64)
        return _diagonal(wide * wide), ROUNDING, ((wide >= 0.0) & (wide <= LARGEST_SIGMA)).all()
    if (logarithms := inputs.get(f"log_variances_{slot}")) is not None:
        wide = logarithms.cast(np.float64)
        return _diagonal(wide.apply("Exp")), ROUNDING, (abs(wide) <= LARGEST_LOGARITHM).all()
    return None


def _diagonal(variances: Value) -> Value:
    return variances @ np.array([[1.0, 0, 0, 0], [0, 0, 0, 1.0]])


def _known(parameters: Mapping[str, Any], silent: Sequence[int], members: int) -> Floats:
    """What was measured of the *silent* members, ``(4, M)``; zeros for those that speak."""
    known = np.zeros((4, members))
    for slot in silent:
        known[:, slot] = checked_covariance(parameters["member_covariances"][slot]).reshape(4)
    return known


def _places(slots: Sequence[int], members: int) -> Floats:
    """Brings covariances ``(B, 4 * K)`` of *slots* to their places among all members' ``(B, 4 * M)``."""
    places = np.zeros((len(slots), 4, 4, members))
    for row, slot in enumerate(slots):
        places[row, :, :, slot] = np.eye(4)
    return places.reshape(4 * len(slots), 4 * members)


def _roundings(said: Mapping[int, float], members: int) -> Floats:
    return np.array([said.get(slot, ROUNDING) for slot in range(members)])
