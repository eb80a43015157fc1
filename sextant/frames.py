"""
The frames in which members say where they are: each takes its member's answers to the earth.

``latitude_longitude`` is WGS84 in degrees; ``east_north_m`` is metres east and north of an origin, along the geodesic;
``EPSG:25832``, or any other projected grid, is easting and northing, in this order whatever the grid's own.

What a member says of its own errors stands along the axes of its frame, in its units, east before north; for
``latitude_longitude``, where that would be degrees, in metres east and north.  What calibration measured of a member
is always in metres on the ground.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sextant.errors import InputRefused, ParametersError
from sextant.geodesy import FARTHEST_M, reach, to_east_north
from sextant.parameters import mapping, of_each, read_place
from sextant.projected import Projection
from sextant.tensors import Floats, Mask

LATITUDE_LONGITUDE = "latitude_longitude"
EAST_NORTH_M = "east_north_m"
_KINDS = f"{LATITUDE_LONGITUDE}, {EAST_NORTH_M} or a code such as EPSG:25832"


class Placed(NamedTuple):
    """
    Answers on the earth.

    *position* ``(N, 2)`` is latitude and longitude in degrees; *jacobian* ``(N, 2, 2)`` how many metres east and north
    (rows) a unit along the frame's two axes (columns) is there.
    """

    position: Floats
    jacobian: Floats

    def covariance(self, said: Floats) -> Floats:
        """Covariances ``(N, 2, 2)`` along the frame's axes, in metres east and north of their own answers."""
        carried: Floats = self.jacobian @ said @ np.swapaxes(self.jacobian, -1, -2)
        carried[..., 0, 1] = carried[..., 1, 0] = (carried[..., 0, 1] + carried[..., 1, 0]) / 2
        return carried


class Frame(Protocol):
    """One member's frame."""

    def placed(self, answers: NDArray[Any]) -> Placed:
        """Where the *answers* ``(N, 2)`` are; ``InputRefused`` names the first that is nowhere."""

    def errors(self, answers: NDArray[Any], truth: Floats) -> Floats:
        """
        Answer less truth ``(N, 2)`` in metres, east and north; *truth* ``(N, 2)`` is latitude and longitude.

        The second moment of these is the covariance that ``measured`` carries.
        """

    def measured(self, covariance: Floats, placed: Placed) -> Floats:
        """A *covariance* ``(2, 2)`` of ``errors`` in metres east and north of each answer, ``(N, 2, 2)`` or one."""


class Degrees(NamedTuple):
    """Latitude and longitude on WGS84."""

    slot: int

    def placed(self, answers: NDArray[Any]) -> Placed:
        """The answers themselves, of longitudes from 0 to 360 degrees those that the earth's maps have."""
        position = np.array(answers, dtype=np.float64)
        latitude, longitude, tensor = position[:, 0], position[:, 1], f"member_{self.slot}"
        _refuse(np.abs(latitude) > 90, latitude, tensor, "latitudes within 90 degrees")
        _refuse(np.abs(longitude) > 360, longitude, tensor, "longitudes within 360 degrees")
        longitude[longitude > 180] -= 360
        longitude[longitude < -180] += 360
        return Placed(position, np.broadcast_to(np.eye(2), (*position.shape, 2)))

    def errors(self, answers: NDArray[Any], truth: Floats) -> Floats:
        """Along the geodesic from the truth."""
        return to_east_north(truth, self.placed(answers).position)

    def measured(self, covariance: Floats, placed: Placed) -> Floats:  # noqa: ARG002 - of Frame
        """As it is."""
        return covariance


class Plane(NamedTuple):
    """Metres east and north of an *origin*, latitude and longitude, from the *member* so named."""

    slot: int
    member: str
    origin: tuple[float, float]

    def admitted(self, answers: NDArray[Any]) -> Floats:
        """The answers themselves; ``InputRefused`` names the first that is farther than any place on earth."""
        offsets = np.asarray(answers, dtype=np.float64)
        beyond = np.hypot(offsets[:, 0], offsets[:, 1]) > FARTHEST_M
        if beyond.any():
            expected = f"distances within {FARTHEST_M:.0f} m, half the way round the earth, from member {self.member!r}"
            _refuse(beyond, offsets, f"member_{self.slot}", expected)
        return offsets

    def placed(self, answers: NDArray[Any]) -> Placed:
        """The ends of the geodesics; along each, east turns."""
        leg = reach(self.origin, self.admitted(answers))
        cos, sin = np.cos(leg.convergence), np.sin(leg.convergence)
        turn = np.stack([cos, sin, -sin, cos], axis=-1)
        return Placed(leg.end, turn.reshape(-1, 2, 2))

    def errors(self, answers: NDArray[Any], truth: Floats) -> Floats:
        """In the plane of the origin, where the answers are."""
        apart: Floats = self.admitted(answers) - to_east_north(self.origin, truth)
        return apart

    def measured(self, covariance: Floats, placed: Placed) -> Floats:
        """Turned with the plane's east."""
        return placed.covariance(covariance)


class Grid(NamedTuple):
    """Easting and northing of the projected system *code*, as *projection* knows it, from the *member* so named."""

    slot: int
    member: str
    code: str
    projection: Projection

    def placed(self, answers: NDArray[Any]) -> Placed:
        """By the polynomials of the release."""
        points = np.asarray(answers, dtype=np.float64)
        outside = self.projection.outside(points)
        if outside.any():
            sides = zip(("eastings", "northings"), (self.projection.easting, self.projection.northing), strict=True)
            domain = " and ".join(f"{name} from {low:.0f} to {high:.0f}" for name, (low, high) in sides)
            _refuse(outside, points, f"member_{self.slot}", f"{domain} of {self.code} from member {self.member!r}")
        return Placed(*self.projection.ground(points))

    def errors(self, answers: NDArray[Any], truth: Floats) -> Floats:
        """On the ground, where a unit of the grid may be longer or shorter than it says."""
        return to_east_north(truth, self.placed(answers).position)

    def measured(self, covariance: Floats, placed: Placed) -> Floats:  # noqa: ARG002 - of Frame
        """As it is: on the ground already."""
        return covariance


def frames(parameters: Mapping[str, Any]) -> tuple[Frame, ...]:
    """
    The frame of each member, from the complete *parameters* of ``fuse``.

    These are ``members``, ``frame`` and ``origin``, each one for all or a mapping by member's name, and
    ``projections``, a map for each EPSG code.  ``ParametersError`` names what is wrong.

    >>> frames({"members": ["oak", "elm"], "frame": {"oak": "latitude_longitude", "elm": "east_north_m"},
    ...         "origin": [48.0, 11.0]})
    (Degrees(slot=0), Plane(slot=1, member='elm', origin=(48.0, 11.0)))
    """
    members = tuple(parameters["members"])
    kinds = _of_each(members, "frame", parameters.get("frame", LATITUDE_LONGITUDE))
    for kind in kinds:
        if kind not in (LATITUDE_LONGITUDE, EAST_NORTH_M) and not is_projected(kind):
            raise ParametersError(f"frame: expected {_KINDS}, got {kind!r}")
    planes = tuple(member for member, kind in zip(members, kinds, strict=True) if kind == EAST_NORTH_M)
    origins = _origins(planes, parameters)
    return tuple(
        _frame(slot, member, kind, origins, parameters)
        for slot, (member, kind) in enumerate(zip(members, kinds, strict=True))
    )


def of_member(given: Any, member: str) -> Any:
    """
    What is *given* of a *member*, where it is given once for all or in a mapping by name; None where that is silent.

    >>> of_member("east_north_m", "oak"), of_member({"oak": "EPSG:3857"}, "oak"), of_member({"oak": "EPSG:3857"}, "elm")
    ('east_north_m', 'EPSG:3857', None)
    """
    return given.get(member) if isinstance(given, Mapping) else given


def is_projected(frame: Any) -> bool:
    """
    Whether *frame* names a projected system.

    >>> is_projected("EPSG:3857"), is_projected("east_north_m")
    (True, False)
    """
    return isinstance(frame, str) and re.fullmatch(r"EPSG:\d+", frame) is not None


def _frame(
    slot: int, member: str, kind: Any, origins: Mapping[str, tuple[float, float]], parameters: Mapping[str, Any]
) -> Frame:
    if kind == LATITUDE_LONGITUDE:
        return Degrees(slot)
    if kind == EAST_NORTH_M:
        return Plane(slot, member, origins[member])
    projections = mapping(parameters, "projections")
    if kind not in projections:
        raise ParametersError(f"projections: none of {kind}, in which member {member!r} answers")
    return Grid(slot, member, kind, Projection(projections[kind]))


def _origins(planes: tuple[str, ...], parameters: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Where the planes of those members that answer in one touch the earth."""
    given = parameters.get("origin")
    if not planes:
        if given is not None:
            raise ParametersError(f"origin: only members in the frame {EAST_NORTH_M} have one")
        return {}
    each = zip(planes, _of_each(planes, "origin", given), strict=True)
    return {member: read_place({"origin": one}, "origin") for member, one in each}


def _of_each(members: tuple[str, ...], key: str, given: Any) -> tuple[Any, ...]:
    """One for each member, of one for all or of a mapping by name."""
    return of_each(members, key, given) if isinstance(given, Mapping) else (given,) * len(members)


def _refuse(bad: Mask, values: Floats, tensor: str, expected: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        came = ", ".join(f"{value:.10g}" for value in np.ravel(values[row]))
        raise InputRefused(tensor, expected, f"{came} in row {row}")
