from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sextant.arrays import real, refuse_uneven
from sextant.covariance import checked_covariance, from_log_variances, from_sigmas, regular
from sextant.ellipse import FEWEST_DRAWS
from sextant.errors import CovarianceError, InputRefused, ParametersError
from sextant.frames import Frame, Placed, Plane, frames
from sextant.fuse import (
    METHODS,
    WEIGHING,
    WEIGHTLESS,
    Fused,
    Members,
    Method,
    about,
    on_the_earth,
)
from sextant.intersection import MINIMISED
from sextant.measures import BETWEEN_SHARE, MEMBERS_REJECTED, Series, rejections
from sextant.parameters import SLOTS, flag, mapping, number, one_of, read_members, read_weights, refuse_unknown
from sextant.tensors import Floats, Mask, Tensor

# What a member may say of its errors: the tensor's dims, what it is called, and the covariance it means.
SAID: Mapping[str, tuple[tuple[int, ...], str, Callable[[NDArray[Any]], Floats]]] = MappingProxyType(
    {
        "covariance": ((2, 2), "covariances", checked_covariance),
        "sigmas": ((2,), "standard deviations", from_sigmas),
        "log_variances": ((2,), "logarithms of variances", from_log_variances),
    }
)
_DIMS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"member": (2,), **{word: dims for word, (dims, *_) in SAID.items()}}
)
_TYPES = ("FP32", "FP64")


class Fuse:
    """
    Several members' positions, one fix and its covariance.

    The i-th of *members* answers in ``member_i``, by *frame*: in degrees of latitude and longitude, in metres east
    and north of *origin*, or in easting and northing of a grid, whose map is in *projections*.  How sure it is comes
    with it in ``covariance_i``, ``sigmas_i`` or ``log_variances_i``, along the axes of its frame, or is the i-th of
    *member_covariances*, measured on its calibration residuals.  *slots* says which of these tensors are not FP32.

    >>> block = Fuse({
    ...     "members": ["forest", "mlp"],
    ...     "member_covariances": [[[9, 0], [0, 4]], [[9, 0], [0, 4]]],
    ...     "frame": "east_north_m", "origin": [48.0, 11.0],
    ... })
    >>> answer = block(member_0=np.array([[100, 0]], np.float32), member_1=np.array([[120, 0]], np.float32))
    >>> answer["fused_position"].round(6).tolist(), answer["fused_covariance"].round(1).tolist()
    ([[48.0, 11.001474]], [[[109.0, -0.0], [-0.0, 4.0]]])
    """

    inputs: tuple[Tensor, ...] = tuple(
        Tensor(f"{word}_{slot}", "FP32", dims, optional=True) for word, dims in _DIMS.items() for slot in range(SLOTS)
    )
    outputs: tuple[Tensor, ...] = (
        Tensor("fused_position", "FP64", (2,)),
        Tensor("fused_covariance", "FP64", (2, 2)),
        Tensor("fused_between_share", "FP64", (1,)),
        Tensor("fused_members_used", "INT32", (1,)),
        Tensor("fused_multimodal", "BOOL", (1,)),
        Tensor("fused_members_rejected", "BYTES", (1,)),
    )

    parameters: ClassVar[tuple[str, ...]] = (
        "members",
        "member_covariances",
        "slots",
        "projections",
        "frame",
        "origin",
        "method",
        "minimise",
        "members_are_independent",
        "gate",
        "weights",
    )
    measured: ClassVar[tuple[str, ...]] = ("members", "member_covariances", "slots", "projections")

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        refuse_unknown(parameters, self.parameters)
        self._members = read_members(parameters)
        self._known = {f"{word}_{slot}" for word in _DIMS for slot in range(len(self._members))}
        self.inputs = _inputs(parameters)
        self._method = _method(parameters, len(self._members))
        self._gate = _gate(parameters, self._method)
        self._weights = _weights(parameters, self._members, self._method)
        self._covariances = _covariances(parameters, self._members, self._method)
        self._frames = frames(parameters)
        self._planes = _one_plane(self._frames)
        self.series = (Series(BETWEEN_SHARE, "fused_between_share"), *map(_rejected, self._members))

    def __call__(self, **arrays: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The ``fused_*`` tensors of a batch: ``member_i`` ``(B, 2)`` and what each says of its errors."""
        answers = [self._answers(slot, arrays) for slot in range(len(self._members))]
        self._refuse_strangers(arrays)
        refuse_uneven({f"member_{slot}": one for slot, one in enumerate(answers)})
        said = [self._said(slot, arrays, len(answers[0])) for slot in range(len(self._members))]
        try:
            return self._tensors(self._fused(answers, said))
        except CovarianceError as error:
            raise InputRefused(f"covariance_0 .. {len(answers) - 1}", "covariances to weigh by", str(error)) from error

    def _fused(self, answers: list[Floats], said: list[Floats | None]) -> Fused:
        if self._planes:
            brought = [self._covariances[slot] if one is None else one for slot, one in enumerate(said)]
            offsets = [plane.admitted(one) for plane, one in zip(self._planes, answers, strict=True)]
            return about(np.array(self._planes[0].origin), self._together(offsets, brought))
        placed = [frame.placed(one) for frame, one in zip(self._frames, answers, strict=True)]
        local = [self._local(slot, *pair) for slot, pair in enumerate(zip(placed, said, strict=True))]
        return on_the_earth(self._together([one.position for one in placed], local))

    def _local(self, slot: int, placed: Placed, said: Floats | None) -> Floats | None:
        """The member's covariance in the east and north of its own answer."""
        measured = self._covariances[slot]
        if said is not None:
            return placed.covariance(said)
        return None if measured is None else self._frames[slot].measured(measured, placed)

    def _together(self, positions: list[Floats], covariances: list[Floats | None]) -> Members:
        """Covariances are ``(M, 2, 2)`` where none depends on the row, and of the spread there are none."""
        spreads = None
        if self._method.name != "spread":
            known = [one for one in covariances if one is not None]
            shape = np.broadcast_shapes(*(one.shape for one in known))
            spreads = np.stack([np.broadcast_to(one, shape) for one in known], axis=-3)
        return Members(np.stack(positions, axis=1), spreads, self._weights, self._gate, self._method)

    def _answers(self, slot: int, arrays: Mapping[str, NDArray[Any]]) -> Floats:
        name = f"member_{slot}"
        if name not in arrays:
            raise InputRefused(name, f"the positions of member {self._members[slot]!r}", "none")
        array = real(arrays[name], partial(InputRefused, name, f"numbers of member {self._members[slot]!r}"))
        if array.ndim != 2 or array.shape[1] != 2:
            raise InputRefused(name, "rows of 2 numbers", f"shape {list(array.shape)}")
        finite = np.isfinite(array)
        if not finite.all():
            row, column = np.argwhere(~finite)[0].tolist()
            expected = f"finite numbers of member {self._members[slot]!r}"
            raise InputRefused(name, expected, f"{array[row, column]:g} in row {row}, column {column}")
        return array.astype(np.float64)

    def _said(self, slot: int, arrays: Mapping[str, NDArray[Any]], rows: int) -> Floats | None:
        """What the member says of its errors ``(B, 2, 2)``; nothing where calibration says it, or nobody need."""
        given = [word for word in SAID if f"{word}_{slot}" in arrays]
        if len(given) > 1:
            came = " and ".join(f"{word}_{slot}" for word in given)
            raise InputRefused(f"{given[0]}_{slot}", f"member {self._members[slot]!r} to say its errors once", came)
        if given and self._method.name == "spread":
            raise InputRefused(f"{given[0]}_{slot}", "positions alone, for spread is how they scatter", "more")
        if given:
            return self._admitted(slot, given[0], arrays[f"{given[0]}_{slot}"], rows)
        if self._covariances[slot] is None and self._method.name != "spread":
            expected = f"covariances of member {self._members[slot]!r}, which has none from calibration"
            raise InputRefused(f"covariance_{slot}", expected, "none")
        return None

    def _admitted(self, slot: int, word: str, said: NDArray[Any], rows: int) -> Floats:
        name, (dims, noun, covariances) = f"{word}_{slot}", SAID[word]
        real(said, partial(InputRefused, name, f"{noun} of member {self._members[slot]!r}"))
        if said.shape != (rows, *dims):
            counted = " × ".join(map(str, dims))
            raise InputRefused(name, f"{rows} rows of {counted} numbers", f"shape {list(said.shape)}")
        try:
            covariance = covariances(said)
        except CovarianceError as error:
            raise InputRefused(name, f"{noun} of member {self._members[slot]!r}", str(error)) from error
        if self._method.name in WEIGHING and not (flat := regular(covariance)).all():
            expected = f"{noun} of member {self._members[slot]!r} in which no direction is without error"
            raise InputRefused(name, expected, f"{said[np.argmin(flat)].tolist()} in row {np.argmin(flat)}")
        return covariance

    def _refuse_strangers(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        for name in arrays:
            if name not in self._known:
                raise InputRefused(name, f"the tensors of {len(self._members)} members", "one more")

    def _tensors(self, fused: Fused) -> dict[str, NDArray[Any]]:
        return {
            "fused_position": fused.position,
            "fused_covariance": np.ascontiguousarray(fused.covariance),
            "fused_between_share": fused.between_share[:, None],
            "fused_members_used": fused.members_used[:, None],
            "fused_multimodal": fused.multimodal[:, None],
            "fused_members_rejected": self._rejected(fused.kept),
        }

    def _rejected(self, kept: Mask) -> NDArray[Any]:
        """The names ``(B, 1)`` of those left out, comma-joined."""
        names = np.full((len(kept), 1), b"", dtype=object)
        for row in np.flatnonzero(~kept.all(axis=-1)):
            left = (name for name, stays in zip(self._members, kept[row], strict=True) if not stays)
            names[row, 0] = ",".join(left).encode()
        return names


def _rejected(member: str) -> Series:
    """How often the gate leaves *member* out."""
    return Series(MEMBERS_REJECTED, "fused_members_rejected", partial(rejections, member), {"member": member})


def _inputs(parameters: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """Every slot there is, for the releases of a pipeline share one configuration; FP32 unless *slots* says more."""
    slots = mapping(parameters, "slots")
    known = {tensor.name for tensor in Fuse.inputs}
    for name, dtype in slots.items():
        if name not in known or dtype not in _TYPES:
            raise ParametersError(
                f"slots: expected a slot such as member_0 and {' or '.join(_TYPES)}, got {name}: {dtype}"
            )
    return tuple(tensor._replace(dtype=slots.get(tensor.name, tensor.dtype)) for tensor in Fuse.inputs)


def _method(parameters: Mapping[str, Any], members: int) -> Method:
    name = one_of(parameters, "method", METHODS)
    independent = flag(parameters, "members_are_independent", default=False)
    if name == "inverse_variance" and not independent:
        raise ParametersError(
            "method: inverse_variance is only for members whose errors are independent, and members that learned from "
            "the same data are not (its 95 % ellipse then holds as little as 45 %): write members_are_independent: "
            "true where they are, or method: moment"
        )
    if name == "spread" and members < FEWEST_DRAWS:
        raise ParametersError(f"method: spread needs {FEWEST_DRAWS} members or more, got {members}")
    return Method(name, _minimised(parameters, name))


def _minimised(parameters: Mapping[str, Any], method: str) -> str | None:
    given = parameters.get("minimise")
    if method != "covariance_intersection":
        if given is not None:
            raise ParametersError(f"minimise: only covariance_intersection does; the method is {method}")
        return None
    if parameters.get("weights") is None:
        return one_of(parameters, "minimise", MINIMISED)
    if given is not None:
        raise ParametersError("minimise: weights are given already; leave out either")
    return None


def _gate(parameters: Mapping[str, Any], method: Method) -> float | None:
    if method.name == "spread":
        if parameters.get("gate") is not None:
            raise ParametersError("gate: spread has no covariances to gate by; leave it out")
        return None
    gate = number(parameters, "gate", 0.99)
    if gate is not None and not 0 < gate < 1:
        raise ParametersError(f"gate: expected a probability between 0 and 1, bounds excluded, or null, got {gate:g}")
    return gate


def _weights(parameters: Mapping[str, Any], members: tuple[str, ...], method: Method) -> Floats:
    """Shares of the members, equal ones if none are given."""
    if parameters.get("weights") is None:
        return np.full(len(members), 1 / len(members))
    if method.name in WEIGHTLESS:
        raise ParametersError(f"weights: {method.name} has its own; leave them out")
    weights = read_weights(parameters, members)
    if not np.all(weights > 0):
        raise ParametersError(f"weights: expected numbers above 0, got {weights.tolist()}")
    return np.asarray(weights / weights.sum())


def _covariances(parameters: Mapping[str, Any], members: tuple[str, ...], method: Method) -> list[Floats | None]:
    given = parameters.get("member_covariances") or [None] * len(members)
    if not isinstance(given, (list, tuple)):
        raise ParametersError(f"member_covariances: expected a list, one for each member, got {given!r}")
    if len(given) != len(members):
        raise ParametersError(f"member_covariances: expected one for each of {len(members)} members, got {len(given)}")
    try:
        known = [None if one is None else checked_covariance(one) for one in given]
    except (CovarianceError, TypeError, ValueError) as error:
        raise ParametersError(f"member_covariances: {error}") from error
    for name, covariance in zip(members, known, strict=True):
        if method.name in WEIGHING and covariance is not None and not regular(covariance):
            said = f"member {name!r} has {covariance.tolist()}, an error of nothing in some direction"
            raise ParametersError(f"member_covariances: {said}, which {method.name} cannot weigh by")
    return known


def _one_plane(each: tuple[Frame, ...]) -> tuple[Plane, ...]:
    """The frames of members that all answer in the plane of one origin; none where they do not."""
    planes = tuple(frame for frame in each if isinstance(frame, Plane))
    return planes if len(planes) == len(each) and len({plane.origin for plane in planes}) == 1 else ()
