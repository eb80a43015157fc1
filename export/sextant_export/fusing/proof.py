"""
Proof that a graph answers as the ensemble whose steps it holds: both are asked the same rows, here and through Triton.

Positions and ellipses are compared in metres, for degrees jump at the antimeridian and the bearing of a circle means
nothing. Where no step of the graph computes otherwise than its block, a millimetre is tolerated, and what FP32 rounds
of the members' own answers; else what is tolerated of any export.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.tensors import Floats
from sextant_export.causes import Tolerances
from sextant_export.difference import LAST_PLACES, Tolerance
from sextant_export.parity import Answer, examine, required
from sextant_export.proof import Proof
from sextant_export.signature import Arrays, Feed

POSITIONS = frozenset({"position", "fused_position"})
EXACT_M = 1e-3
FAR_M = 1_000.0
"""Up to here a millimetre; beyond, a millionth: what is left over is a share of the size."""

_EARTH_RADIUS_M = 6_371_000.0


def prove_graph(expected: Arrays, given: Arrays, feed: Feed, original: Answer, allowed: Tolerances) -> Proof:
    """
    The proof that *given* is what the ensemble answers, *expected*, to *feed*; ``ParityError`` where it is not.

    *original* is the ensemble, asked again beside rows that differ by more than is *allowed*.
    """
    wanted, came = in_metres(expected), in_metres(given)
    proof = examine(wanted, came, feed, lambda again: in_metres(original(again)), allowed)
    return required(proof, wanted, came)


def tolerances(expected: Arrays, *, exact: bool, reach_m: float) -> Tolerances:
    """
    What is tolerated of each output, as :func:`in_metres` has it.

    *exact* says that no step computes otherwise than its block, and *reach_m* how far the members' answers are from
    where their frame begins.
    """
    usual = {name: Tolerance.of(_from_their_midst(name, array)) for name, array in expected.items()}
    if not exact:
        return usual
    rounded = EXACT_M + LAST_PLACES * reach_m
    places = {name: Tolerance(rounded, FAR_M if name == "ellipse" else np.inf) for name in expected if name in _METRES}
    return usual | places


def _from_their_midst(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Points in space as seen from among them: how far they are from the earth's centre lends them nothing."""
    return array - np.nanmean(array, axis=0) if name in POSITIONS else array


def in_metres(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Positions as points in space, ellipses as axes and how much longer the one is, east and north."""
    return {name: _METRES[name](array) if name in _METRES else array for name, array in arrays.items()}


def _in_space(position: Floats) -> Floats:
    """Latitude and longitude ``(B, 2)`` as points on a sphere, ``(B, 3)``."""
    latitude, longitude = np.moveaxis(np.deg2rad(position), -1, 0)
    points = [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    return np.asarray(_EARTH_RADIUS_M * np.stack(points, axis=-1))


def _axes(ellipse: Floats) -> Floats:
    """Ellipses ``(B, L, 3)`` as ``(B, L, 4)`` in metres."""
    major, minor, bearing = np.moveaxis(ellipse, -1, 0)
    longer, twice = major - minor, 2 * np.deg2rad(bearing)
    return np.stack([major, minor, longer * np.sin(twice), longer * np.cos(twice)], axis=-1)


_METRES: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType(
    {**dict.fromkeys(POSITIONS, _in_space), "ellipse": _axes}
)
