from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sextant.covariance import checked_covariance
from sextant.ellipse import mahalanobis_radius
from sextant.errors import CovarianceError, InputRefused, ParametersError
from sextant.fuse import Fused, Members, about, on_the_earth
from sextant.parameters import number, numbers, one_of, refuse_unknown
from sextant.tensors import Floats, Tensor

SLOTS = 8


class Fuse:
    """
    Several members' positions, one fix and its covariance.

    The i-th of *members* answers in ``member_i``, by *frame*: in metres east and north of *origin*, or in
    degrees of latitude and longitude (which FP32 rounds to a metre).  Its covariance comes with it in
    ``covariance_i``, or is the i-th of *member_covariances*, measured on its calibration residuals.

    >>> block = Fuse({
    ...     "members": ["forest", "mlp"],
    ...     "member_covariances": [[[9, 0], [0, 4]], [[9, 0], [0, 4]]],
    ...     "frame": "east_north_m", "origin": [48.0, 11.0],
    ... })
    >>> answer = block(member_0=np.array([[100, 0]], np.float32), member_1=np.array([[120, 0]], np.float32))
    >>> answer["fused_position"].round(6).tolist(), answer["fused_covariance"].round(1).tolist()
    ([[48.0, 11.001474]], [[[109.0, -0.0], [-0.0, 4.0]]])
    """

    inputs: ClassVar[tuple[Tensor, ...]] = (
        *(Tensor(f"member_{slot}", "FP32", (2,), optional=True) for slot in range(SLOTS)),
        *(Tensor(f"covariance_{slot}", "FP32", (2, 2), optional=True) for slot in range(SLOTS)),
    )
    outputs: ClassVar[tuple[Tensor, ...]] = (
        Tensor("fused_position", "FP64", (2,)),
        Tensor("fused_covariance", "FP64", (2, 2)),
        Tensor("fused_between_share", "FP64", (1,)),
        Tensor("fused_members_used", "INT32", (1,)),
        Tensor("fused_multimodal", "BOOL", (1,)),
    )

    parameters: ClassVar[tuple[str, ...]] = (
        "members",
        "member_covariances",
        "frame",
        "origin",
        "method",
        "gate",
        "weights",
    )

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        refuse_unknown(parameters, self.parameters)
        one_of(parameters, "method", ("moment",))
        self._members = _members(parameters)
        self._gate = _gate(parameters)
        self._weights = _weights(parameters, len(self._members))
        self._covariances = _covariances(parameters, self._members)
        known = [one for one in self._covariances if one is not None]
        self._calibrated = np.stack(known) if len(known) == len(self._members) else None
        self._origin = _origin(parameters)

    def __call__(self, **arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The ``fused_*`` tensors of a batch: ``member_i`` ``(B, 2)`` and ``covariance_i`` ``(B, 2, 2)``."""
        positions = np.stack([self._position(slot, arrays) for slot in range(len(self._members))], axis=1)
        self._refuse_strangers(arrays)
        covariances = self._spread(arrays)
        members = Members(positions, covariances, self._weights, self._gate)
        if self._origin is None:
            _refuse_latitudes(positions)
            return _tensors(on_the_earth(members))
        return _tensors(about(self._origin, members))

    def _position(self, slot: int, arrays: Mapping[str, NDArray[Any]]) -> Floats:
        name = f"member_{slot}"
        if name not in arrays:
            raise InputRefused(name, f"the positions of member {self._members[slot]!r}", "none")
        array = arrays[name]
        if array.ndim != 2 or array.shape[1] != 2:
            raise InputRefused(name, "rows of 2 numbers", f"shape {list(array.shape)}")
        finite = np.isfinite(array)
        if not finite.all():
            row, column = np.argwhere(~finite)[0].tolist()
            raise InputRefused(name, "finite numbers", f"{array[row, column]:g} in row {row}, column {column}")
        return array.astype(np.float64)

    def _spread(self, arrays: Mapping[str, NDArray[Any]]) -> Floats:
        """Covariances ``(M, 2, 2)`` where no member brings its own, else ``(B, M, 2, 2)``."""
        slots = range(len(self._members))
        brought = {slot: arrays[f"covariance_{slot}"] for slot in slots if f"covariance_{slot}" in arrays}
        if not brought and self._calibrated is not None:
            return self._calibrated
        shape = (len(arrays["member_0"]), 2, 2)
        spreads = [_admitted(slot, brought[slot]) if slot in brought else self._given(slot) for slot in slots]
        return np.stack([np.broadcast_to(spread, shape) for spread in spreads], axis=1)

    def _given(self, slot: int) -> Floats:
        covariance = self._covariances[slot]
        if covariance is None:
            expected = f"covariances of member {self._members[slot]!r}, which has none from calibration"
            raise InputRefused(f"covariance_{slot}", expected, "none")
        return covariance

    def _refuse_strangers(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        for name in arrays:
            if int(name.rpartition("_")[2]) >= len(self._members):
                raise InputRefused(name, f"the tensors of {len(self._members)} members", "one more")


def _tensors(fused: Fused) -> dict[str, NDArray[Any]]:
    return {
        "fused_position": fused.position,
        "fused_covariance": fused.covariance,
        "fused_between_share": fused.between_share[:, None],
        "fused_members_used": fused.members_used[:, None],
        "fused_multimodal": fused.multimodal[:, None],
    }


def _admitted(slot: int, covariance: NDArray[Any]) -> Floats:
    name = f"covariance_{slot}"
    if covariance.ndim != 3 or covariance.shape[1:] != (2, 2):
        raise InputRefused(name, "rows of 2 × 2 numbers", f"shape {list(covariance.shape)}")
    try:
        return checked_covariance(covariance)
    except CovarianceError as error:
        raise InputRefused(name, "covariances", str(error)) from error


def _refuse_latitudes(positions: Floats) -> None:
    beyond = np.abs(positions[..., 0]) > 90
    if beyond.any():
        row, slot = np.argwhere(beyond)[0].tolist()
        came = f"{positions[row, slot, 0]:g} in row {row}"
        raise InputRefused(f"member_{slot}", "latitudes within 90 degrees", came)


def _members(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    members = parameters.get("members")
    if not isinstance(members, (list, tuple)) or not 1 <= len(members) <= SLOTS:
        raise ParametersError(f"members: expected the names of 1 to {SLOTS} members, got {members!r}")
    return tuple(str(name) for name in members)


def _gate(parameters: Mapping[str, Any]) -> float | None:
    gate = number(parameters, "gate", 0.99) if parameters.get("gate", 0.99) is not None else None
    if gate is not None:
        mahalanobis_radius(gate)
    return gate


def _weights(parameters: Mapping[str, Any], members: int) -> Floats:
    """Shares of the members, equal ones if none are given."""
    if parameters.get("weights") is None:
        return np.full(members, 1 / members)
    weights = numbers(parameters, "weights", (members,))
    if not np.all(weights > 0):
        raise ParametersError(f"weights: expected numbers above 0, got {weights.tolist()}")
    return np.asarray(weights / weights.sum())


def _covariances(parameters: Mapping[str, Any], members: tuple[str, ...]) -> list[Floats | None]:
    given = parameters.get("member_covariances") or [None] * len(members)
    if len(given) != len(members):
        raise ParametersError(f"member_covariances: expected one for each of {len(members)} members, got {len(given)}")
    try:
        return [None if one is None else checked_covariance(one) for one in given]
    except (CovarianceError, TypeError, ValueError) as error:
        raise ParametersError(f"member_covariances: {error}") from error


def _origin(parameters: Mapping[str, Any]) -> Floats | None:
    """Where the plane of the members touches the earth; none where they answer in latitude and longitude."""
    if one_of(parameters, "frame", ("latitude_longitude", "east_north_m")) == "latitude_longitude":
        if parameters.get("origin") is not None:
            raise ParametersError("origin: only members in the frame east_north_m have one")
        return None
    origin = numbers(parameters, "origin", (2,))
    if abs(origin[0]) > 90:
        raise ParametersError(f"origin: expected a latitude within 90 degrees, got {origin[0]:g}")
    return origin
