"""
A projected coordinate reference system as polynomials that NumPy alone can serve.

Here, and nowhere else, pyproj is asked: once for each EPSG code that members answer in, when a release is made.
``sextant.projected`` says what the polynomials mean.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sextant.errors import MissingExtra, ParametersError
from sextant.frames import is_projected
from sextant.projected import Projection, polynomials

Normals: TypeAlias = NDArray[np.float64]
Ends: TypeAlias = tuple[tuple[float, float], tuple[float, float]]

# A map this exact is exact for whoever reads millimetres.
EXACT_M = 1e-3
# What is left out of a polynomial that is exact, all coefficients together.
_NEGLIGIBLE_M = 1e-5
_EARTH_M = 6_378_137.0
_DEGREES = (8, 16, 32, 64, 128)
# People use a zone somewhat beyond its edges: Germany has one for all its sixteen states.
_MARGIN_M = 300_000.0
_MERIDIANS, _PARALLELS = 181, 91
# Neither is a multiple of the other or of a degree above: off the nodes of every fit.
_DENSE = (211, 173)


class Grid(NamedTuple):
    """A projected system: its way to WGS84, its *area* of use in degrees from west to north, and its unit."""

    transformer: Any
    area: tuple[float, float, float, float]
    metres_a_unit: float
    missing_grids: tuple[str, ...]

    def normals(self, points: Normals) -> Normals:
        """The normals of the ellipsoid ``(..., 3)`` at eastings and northings; not finite where there is no place."""
        longitude, latitude = self.transformer.transform(points[..., 0], points[..., 1])
        degrees = np.stack([latitude, longitude])
        return _normals(*np.where(np.isfinite(degrees), degrees, np.nan))

    @property
    def facts(self) -> dict[str, Any]:
        """What a receipt says of the way to WGS84."""
        operation, accuracy = self.transformer.description, self.transformer.accuracy
        return {"operation": operation, "accuracy_m": accuracy, "missing_grids": list(self.missing_grids)}


def projections(frames: Iterable[str]) -> dict[str, dict[str, Any]]:
    """
    The parameter ``projections`` of ``fuse``: a fitted map for each of *frames* that is an EPSG code.

    ``ParametersError`` says why a code is no grid; ``MissingExtra`` where pyproj is not installed.
    """
    return {code: fitted(code) for code in sorted({frame for frame in frames if is_projected(frame)})}


def complaint(code: str) -> str:
    """
    Why members cannot answer in *code*, or nothing.

    >>> complaint("EPSG:4326")
    'EPSG:4326 is WGS 84, a Geographic 2D CRS and no projected one: write frame: latitude_longitude'
    """
    try:
        read(code)
    except ParametersError as error:
        return str(error)
    return ""


def fitted(code: str) -> dict[str, Any]:
    """
    The map of the grid *code* over its area of use, right to a millimetre there.

    ``sextant.projected.Projection`` takes it.  What it was made from stands with it: *operation*, the transformation
    to WGS84, its *accuracy_m*, the *missing_grids* a better one would need, and *error_m*, how far the map is from
    pyproj at most on a dense grid.
    """
    grid = read(code)
    wide, narrow = _domains(grid)
    found = _grown(grid, wide) or _grown(grid, narrow)
    if found is None:
        raise ParametersError(
            f"{code} cannot be mapped to a millimetre over its area of use {list(grid.area)}, for it is not smooth up "
            "to the edges: let the members answer in latitude_longitude, or in metres about an origin"
        )
    return found


def read(code: str) -> Grid:
    """What pyproj knows of *code*; ``ParametersError`` where it is no projected system with a way to WGS84."""
    pyproj = _pyproj()
    crs = _crs(pyproj, code)
    if not crs.is_projected or crs.is_compound:
        advice = "write frame: latitude_longitude" if crs.is_geographic else "name the code of a projected one"
        raise ParametersError(f"{code} is {crs.name}, a {crs.type_name} and no projected one: {advice}")
    area = crs.area_of_use
    if area is None:
        raise ParametersError(f"{code} ({crs.name}) has no area of use to map")
    group = _transformers(pyproj, crs, area)
    if not group.transformers:
        raise ParametersError(f"{code} ({crs.name}) has no transformation to WGS84 here that is better than a guess")
    unit = crs.axis_info[0].unit_conversion_factor
    return Grid(group.transformers[0], tuple(area.bounds), unit, _missing(group))


def _pyproj() -> Any:
    try:
        import pyproj
        import pyproj.exceptions
        import pyproj.transformer
    except ImportError as error:
        raise MissingExtra("export", "a frame with an EPSG code") from error
    return pyproj


def _crs(pyproj: Any, code: str) -> Any:
    if re.fullmatch(r"EPSG:\d+", code) is None:
        raise ParametersError(f"expected a code such as EPSG:25832, got {code!r}")
    try:
        return pyproj.CRS.from_user_input(code)
    except pyproj.exceptions.CRSError as error:
        raise ParametersError(
            f"{code} is no coordinate reference system that pyproj {pyproj.__version__} knows"
        ) from error


def _transformers(pyproj: Any, crs: Any, area: Any) -> Any:
    """
    What leads to WGS84 over the whole area, the best that is installed first.

    pyproj's own choice may change from point to point, with a step between.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # grids that are not installed: said in the parameters
        return pyproj.transformer.TransformerGroup(
            crs,
            "EPSG:4326",
            always_xy=True,
            area_of_interest=pyproj.transformer.AreaOfInterest(*area.bounds),
            allow_ballpark=False,
        )


def _missing(group: Any) -> tuple[str, ...]:
    if group.best_available:
        return ()
    grids = (grid.short_name for operation in group.unavailable_operations for grid in operation.grids)
    return tuple(dict.fromkeys(grids))


def _domains(grid: Grid) -> tuple[Ends, Ends]:
    """The ends of easting and northing with a margin around the area of use, and without."""
    west, south, east, north = grid.area
    longitude = west + np.linspace(0, (east - west) % 360 or 360, _MERIDIANS)
    latitude = np.linspace(south, north, _PARALLELS)
    mesh = np.meshgrid((longitude + 180) % 360 - 180, latitude)
    mesh[0][:, -1] = east  # which modulo would take to the other side of the antimeridian
    points = np.stack(grid.transformer.transform(*mesh, direction="INVERSE"), axis=-1).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=-1)]
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.minimum((high - low) / 2, _MARGIN_M / grid.metres_a_unit)
    return _ends(low - margin, high + margin), _ends(low, high)


def _ends(low: Normals, high: Normals) -> Ends:
    sides = np.stack([low, high], axis=-1).round(3).tolist()
    return tuple(sides[0]), tuple(sides[1])


def _grown(grid: Grid, ends: Ends) -> dict[str, Any] | None:
    """The map of the least degree that is exact; none where the grid has holes or a fold."""
    for degree in _DEGREES:
        normals = _fit(grid, ends, degree)
        if not np.isfinite(normals).all():
            return None
        parameters = {"easting": list(ends[0]), "northing": list(ends[1]), "normals": _trimmed(normals).tolist()}
        error = _worst_m(grid, ends, parameters)
        if error < EXACT_M:
            return {**parameters, **grid.facts, "error_m": error}
    return None


def _fit(grid: Grid, ends: Ends, degree: int) -> Normals:
    """Coefficients ``(degree + 1, degree + 1, 3)`` of the polynomial through the Chebyshev nodes."""
    nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    mesh = np.stack(np.meshgrid(*(_scaled(nodes, side) for side in ends), indexing="ij"), axis=-1)
    transform = polynomials(nodes, degree + 1) * 2 / (degree + 1)
    transform[0] /= 2
    normals: Normals = np.einsum("ai,bj,ijc->abc", transform, transform, grid.normals(mesh), optimize=True)
    return normals


def _trimmed(normals: Normals) -> Normals:
    """Without the highest degrees, as many as are negligible together."""
    kept = list(normals.shape[:2])
    for axis in (0, 1):
        size = np.abs(normals).sum(axis=(1 - axis, 2)) * _EARTH_M
        rest = np.cumsum(size[::-1])[::-1]
        kept[axis] = max(1, int(np.sum(rest > _NEGLIGIBLE_M)))
    return normals[: kept[0], : kept[1]]


def _worst_m(grid: Grid, ends: Ends, parameters: Mapping[str, Any]) -> float:
    """How far the map is from pyproj at most, on a dense grid to the very edges."""
    mesh = np.meshgrid(*(np.linspace(*side, count) for side, count in zip(ends, _DENSE, strict=True)))
    points = np.stack(mesh, axis=-1).reshape(-1, 2)
    latitude, longitude = np.moveaxis(Projection(parameters).ground(points).position, -1, 0)
    apart = _normals(latitude, longitude) - grid.normals(points)
    return float(np.linalg.norm(apart, axis=-1).max() * _EARTH_M)


def _normals(latitude: Normals, longitude: Normals) -> Normals:
    phi, lam = np.deg2rad(latitude), np.deg2rad(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def _scaled(nodes: Normals, ends: tuple[float, float]) -> Normals:
    low, high = ends
    scaled: Normals = (low + high) / 2 + nodes * (high - low) / 2
    return scaled
