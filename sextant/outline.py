"""
An error ellipse as a GeoJSON geometry.

The ring is built counter-clockwise in the plane of east and north and laid on the ellipsoid vertex by
vertex.  Its longitudes are then unrolled into one continuous run: where that run comes home, the ring
encloses no pole; where it is a whole turn off, it encloses one, and is closed along the pole's edge of the
map.  Only then is it cut at the antimeridian, so every part keeps the winding of the whole.  (The sign of
the area of a ring that has not been unrolled says nothing: rewinding by it turns an ellipse at 180 degrees
inside out.)
"""

from __future__ import annotations

from math import floor, isfinite, pi, sin, sqrt
from typing import Any

import numpy as np

from sextant.errors import ParametersError
from sextant.geodesy import to_latitude_longitude
from sextant.parameters import whole
from sextant.tensors import Floats

# Seven decimals are a centimetre, which is nothing to an ellipse of metres; a narrow one keeps a tenth of a millimetre.
_DECIMALS, _FINE_DECIMALS = 7, 9
_NARROW_M = 5.0
_THINNEST_M = 0.5
_THINNEST_RATIO = 1e-5
# Beyond a quarter of a meridian the region is more than a hemisphere: the position is not known at all.
_QUARTER_MERIDIAN_M = 10_001_965.0
_EARTH_RADIUS_M = 6_371_009.0
_HALVINGS = 20

Ring = list[list[float]]


def ellipse_outline(
    latitude: float,
    longitude: float,
    semi_major_m: float,
    semi_minor_m: float,
    orientation_deg: float,
    *,
    vertices: int = 128,
) -> dict[str, Any]:
    """
    The ellipse about a point as a GeoJSON ``Polygon``, or ``MultiPolygon`` where it crosses the antimeridian.

    The polygon of *vertices* has the area of the ellipse, not of one inscribed in it, so it keeps its
    coverage.  For drawing, an axis shorter than half a metre (or 1e-5 of the longer) is drawn as long as
    that; an ellipse that exceeds a hemisphere is the whole earth.  ``ParametersError`` for what is no ellipse
    or no place, and for fewer than eight vertices.

    >>> outline = ellipse_outline(-17.0, 179.9, 50_000.0, 20_000.0, 90.0)
    >>> outline["type"], [ring[0][0][0] for ring in outline["coordinates"]]
    ('MultiPolygon', [180.0, -179.6303606])
    """
    _refuse_what_is_none(latitude, longitude, semi_major_m, semi_minor_m, orientation_deg)
    semi_minor_m = max(semi_minor_m, _THINNEST_M, _THINNEST_RATIO * semi_major_m)
    semi_major_m = max(semi_major_m, semi_minor_m)
    corners = whole({"vertices": vertices}, "vertices", least=8)
    offsets = polygon_vertices(semi_major_m, semi_minor_m, orientation_deg, corners)
    if np.hypot(*offsets.T).max() > _QUARTER_MERIDIAN_M:
        return _geometry([[[-180.0, -90.0], [180.0, -90.0], [180.0, 90.0], [-180.0, 90.0], [-180.0, -90.0]]])
    ring = _laid_out((latitude, longitude), offsets, semi_minor_m / 16)
    decimals = _FINE_DECIMALS if semi_minor_m < _NARROW_M else _DECIMALS
    return _geometry(_parts(_closed(ring), decimals))


def bounding_box(geometry: dict[str, Any]) -> list[float]:
    """
    The ``bbox`` of an outline: west, south, east, north; west above east where it crosses the antimeridian.

    >>> bounding_box(ellipse_outline(-17.0, 179.9, 50_000.0, 20_000.0, 90.0))
    [179.4303606, -17.1807533, -179.6303606, -16.8192434]
    """
    rings = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    corners = np.array([[*np.min(ring[0], axis=0), *np.max(ring[0], axis=0)] for ring in rings])
    west, south, east, north = corners.T
    if len(corners) > 1:
        west, east = west[west > -180], east[east < 180]
    return [float(west.min()), float(south.min()), float(east.max()), float(north.max())]


def _refuse_what_is_none(latitude: float, longitude: float, major_m: float, minor_m: float, bearing: float) -> None:
    if not (abs(latitude) <= 90 and abs(longitude) <= 360):
        raise ParametersError(f"expected a latitude within 90 degrees and a longitude, got {latitude}, {longitude}")
    if not (0 <= minor_m <= major_m and isfinite(major_m) and isfinite(bearing)):
        came = f"{major_m}, {minor_m} and {bearing}"
        raise ParametersError(f"expected finite axes in metres, the longer first, and a bearing, got {came}")


def polygon_vertices(semi_major_m: float, semi_minor_m: float, orientation_deg: float, vertices: int) -> Floats:
    """
    East and north metres ``(vertices, 2)``, counter-clockwise, of a polygon as large as the ellipse.

    >>> polygon_vertices(2.0, 1.0, 90.0, 128)[0].round(4).tolist()
    [2.0004, 0.0]
    """
    along = np.arange(vertices) * (2 * pi / vertices)
    inflation = 1 / sqrt(sin(2 * pi / vertices) * vertices / (2 * pi))
    u, v = inflation * semi_major_m * np.cos(along), inflation * semi_minor_m * np.sin(along)
    bearing = np.deg2rad(orientation_deg)
    return np.stack([u * np.sin(bearing) - v * np.cos(bearing), u * np.cos(bearing) + v * np.sin(bearing)], axis=-1)


def _laid_out(centre: tuple[float, float], offsets: Floats, tolerance_m: float) -> Floats:
    """
    The polygon on the ellipsoid, ``(N, 2)`` longitude and latitude, true to *tolerance_m* when drawn on the
    map.

    GeoJSON's edges are straight in longitude and latitude, which near a pole is far from the shortest way:
    edges that stray are halved until the map shows what the plane does.
    """
    for _ in range(_HALVINGS):
        ring = to_latitude_longitude(centre, offsets)[:, ::-1]
        astray = _sagitta_m(ring) > tolerance_m
        if not astray.any():
            break
        middles = (offsets + np.roll(offsets, -1, axis=0)) / 2
        offsets = np.insert(offsets, np.flatnonzero(astray) + 1, middles[astray], axis=0)
    return ring


def _sagitta_m(ring: Floats) -> Floats:
    """How far the straight line on the map, from each vertex to the next, strays from the shortest way."""
    turn = np.deg2rad(_steps(ring))
    latitude = np.deg2rad((ring[:, 1] + np.roll(ring[:, 1], -1)) / 2)
    sagitta: Floats = _EARTH_RADIUS_M / 8 * turn**2 * np.abs(np.sin(latitude) * np.cos(latitude))
    return sagitta


def _steps(ring: Floats) -> Floats:
    """Degrees of longitude from each vertex to the next, the shorter way."""
    steps: Floats = (np.roll(ring[:, 0], -1) - ring[:, 0] + 180) % 360 - 180
    return steps


def _closed(ring: Floats) -> Floats:
    """
    The ring ``(N, 2)`` of longitude and latitude with its longitudes unrolled, closed in the plane of the
    map.

    A ring about a pole begins on the antimeridian, so that it fills the map from edge to edge.
    """
    steps = _steps(ring)
    turns = round(steps.sum() / 360)
    if turns == 0:
        unrolled = ring[0, 0] + np.concatenate([[0.0], np.cumsum(steps)])
        return np.column_stack([unrolled, np.append(ring[:, 1], ring[0, 1])])
    first = int(np.argmin(ring[:, 0] * turns))
    around = np.roll(ring, -first, axis=0)
    unrolled = around[0, 0] + np.concatenate([[0.0], np.cumsum(np.roll(steps, -first))[:-1]])
    return _about_the_pole(np.column_stack([unrolled, around[:, 1]]), turns)


def _about_the_pole(path: Floats, turns: int) -> Floats:
    """A path once round the earth, eastward about the north pole or westward about the south, closed."""
    before, after = path[-1] - [360 * turns, 0], path[0]
    edge = -180.0 * turns
    share = (edge - before[0]) / (after[0] - before[0]) if after[0] != before[0] else 1.0
    crossing = before[1] + share * (after[1] - before[1])
    pole = 90.0 * turns
    return np.vstack([[edge, crossing], path, [-edge, crossing], [-edge, pole], [edge, pole], [edge, crossing]])


def _parts(ring: Floats, decimals: int) -> list[Ring]:
    """The rings, each within [-180, 180], that a closed ring falls into."""
    first = floor((ring[:, 0].min() + 180) / 360)
    last = floor((ring[:, 0].max() + 180) / 360)
    parts = []
    for turn in range(first, last + 1):
        west = 360.0 * turn - 180
        piece = _clipped(_clipped(ring, west, side=1), west + 360, side=-1)
        part = _rounded(piece - [360.0 * turn, 0.0], decimals)
        if len(part) > 3 and _area(part) > 0:
            parts.append(part)
    return parts


def _clipped(ring: Floats, meridian: float, *, side: int) -> Floats:
    """What of a closed ring lies east (*side* 1) or west (-1) of a meridian."""
    inside = side * (ring[:, 0] - meridian) >= 0
    if inside.all():
        return ring
    kept: list[Any] = []
    for here, there, start_in, end_in in zip(ring[:-1], ring[1:], inside[:-1], inside[1:], strict=True):
        if start_in:
            kept.append(here)
        if start_in != end_in:
            share = (meridian - here[0]) / (there[0] - here[0])
            kept.append([meridian, here[1] + share * (there[1] - here[1])])
    return np.array([*kept, *kept[:1]]).reshape(-1, 2)


def _rounded(ring: Floats, decimals: int) -> Ring:
    """The ring to so many *decimals*, without vertices that rounding made one."""
    rounded = np.round(ring, decimals) + 0.0
    fresh = np.ones(len(rounded), dtype=np.bool_)
    fresh[1:] = np.any(rounded[1:] != rounded[:-1], axis=1)
    return rounded[fresh].tolist()  # type: ignore[no-any-return]


def _area(ring: Ring) -> float:
    """The signed area of a closed ring on the map; positive when counter-clockwise."""
    x, y = np.array(ring).T - np.array(ring[0])[:, None]
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def _geometry(rings: list[Ring]) -> dict[str, Any]:
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings}
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}
