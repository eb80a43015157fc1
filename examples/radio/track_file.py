"""One flight as a GeoJSON file for any map: receivers, the true track, and the fixes with their ellipses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from radio.scene import ORIGIN, RECEIVERS_EAST_NORTH_M
from radio.windows import INTERVAL_S, Windows
from sextant.answers import Fix
from sextant.geodesy import to_latitude_longitude
from sextant_cli.demo.drawing import INK, RECEIVER
from sextant_cli.demo.geojson import feature, of_fix, write_features


def write_track(path: Path, flight: Windows, fixes: Sequence[Fix]) -> int:
    """
    An RFC 7946 FeatureCollection of *fixes* of *flight*; how many features it holds.

    The features of a fix carry its ``time_s`` since take-off and its ``error_m``.
    """
    return write_features(path, _features(flight, fixes))


def _features(flight: Windows, fixes: Sequence[Fix]) -> Iterator[dict[str, Any]]:
    for number, place in enumerate(to_latitude_longitude(ORIGIN, RECEIVERS_EAST_NORTH_M), 1):
        yield feature("Point", place, RECEIVER, name=f"receiver {number}")
    yield feature("LineString", flight.truth, INK, name="true track")
    for row, (fix, place) in enumerate(zip(fixes, flight.truth, strict=True)):
        yield from of_fix(fix, place, time_s=row * INTERVAL_S)
