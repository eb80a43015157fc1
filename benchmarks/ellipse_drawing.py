"""
Drawn ellipses against those who measure: shapely, GeographicLib, SciPy's quadrature and a hundred thousand draws.

What is drawn is what is measured: the GeoJSON polygon as it is written, its seven decimals and its cuts included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
import shapely
from geographiclib.geodesic import Geodesic
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import erf
from shapely.geometry import shape

import sextant
from report import report
from sextant.ellipse import small_sample_radius
from sextant.geodesy import to_latitude_longitude
from sextant.outline import polygon_vertices

PLACES = {
    "mid_latitude": (48.0, 11.0, ((250.0, -150.0), (-150.0, 250.0))),
    "antimeridian": (-17.0, 179.9, ((4e8, 1e8), (1e8, 1e8))),
    "pole": (89.9, 20.0, ((1e8, 3e7), (3e7, 4e8))),
    "thin": (60.0, -150.0, ((1e8, 9.99e7), (9.99e7, 1e8))),
}
LEVELS = (0.5, 0.9, 0.95, 0.99)
# The area is that of what is drawn: an ellipse is drawn at least this wide.
THINNEST_DRAWN_M = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="1,000 ellipses instead of 10,000, a tenth of the vertices"
    )
    quick = parser.parse_args().quick
    for place in PLACES:
        coverage(place)
    few_draws()
    vertices(100 if quick else 1_000)
    random_ellipses(1_000 if quick else 10_000)
    circles()


def coverage(name: str) -> None:
    """The share of a fix's Gaussian in its drawn polygons; the band at 0.95 is 0.0025, at others as much wider."""
    latitude, longitude, covariance = PLACES[name]
    draws = np.random.default_rng(list(PLACES).index(name)).multivariate_normal([0, 0], covariance, 100_000)
    points = to_latitude_longitude((latitude, longitude), draws)
    for level in LEVELS:
        ellipse = sextant.confidence_ellipse(covariance, sextant.mahalanobis_radius(level))
        drawn = shape(sextant.ellipse_outline(latitude, longitude, *(float(part) for part in ellipse[:3])))
        share = float(np.mean(shapely.contains_xy(drawn, points[:, 1], points[:, 0])))
        band = 0.0025 * sqrt(level * (1 - level) / (0.95 * 0.05))
        shown = {"target": f"{level:g} +- {band:.4f}", "ok": abs(share - level) <= band}
        report(f"ellipse_drawing.coverage.{name}.{level:g}", share, "share", **shown)


def few_draws() -> None:
    """The share of next draws in the 95 % ellipse of the spread of five: by F, and by chi-square for comparison."""
    points = np.random.default_rng(5).multivariate_normal([0, 0], PLACES["mid_latitude"][2], (100_000, 6))
    offsets = points[:, :5] - points[:, :5].mean(axis=1, keepdims=True)
    spread = np.einsum("tni,tnj->tij", offsets, offsets) / 4
    away = points[:, 5] - points[:, :5].mean(axis=1)
    squared = np.einsum("ti,tij,tj->t", away, np.linalg.inv(spread), away)
    share = float(np.mean(squared <= small_sample_radius(0.95, 5) ** 2))
    report("ellipse_drawing.spread_of_five.f", share, "share", target="0.95 +- 0.0025", ok=abs(share - 0.95) <= 0.0025)
    chi_square = float(np.mean(squared <= sextant.mahalanobis_radius(0.95) ** 2))
    report("ellipse_drawing.spread_of_five.chi_square", chi_square, "share")


def vertices(ellipses: int) -> None:
    """The farthest a vertex lies, before rounding, from where GeographicLib's geodesic ends."""
    rng = np.random.default_rng(6)
    worst = 0.0
    for _ in range(ellipses):
        centre = rng.uniform(-89.9, 89.9), rng.uniform(-180, 180)
        major = 10 ** rng.uniform(0, np.log10(500_000))
        offsets = polygon_vertices(major, major * rng.uniform(0.01, 1), rng.uniform(0, 180), 128)
        for place, (east, north) in zip(to_latitude_longitude(centre, offsets)[::8], offsets[::8], strict=True):
            end = Geodesic.WGS84.Direct(*centre, np.rad2deg(np.arctan2(east, north)), np.hypot(east, north))
            worst = max(worst, Geodesic.WGS84.Inverse(*place, end["lat2"], end["lon2"])["s12"])
    report("ellipse_drawing.vertex_error", 1000 * worst, "mm", target="<= 1", ok=worst <= 1e-3)


def random_ellipses(count: int) -> None:
    """Anywhere, a fifth of them near the poles and a third at the antimeridian, a metre to 300 km long."""
    wrong, seconds = dict.fromkeys(("invalid", "clockwise", "beyond_180"), 0), 0.0
    errors: list[float] = []
    for latitude, longitude, major, minor, bearing in drawn_anywhere(count).tolist():
        began = time.perf_counter()
        geometry = sextant.ellipse_outline(latitude, longitude, major, minor, bearing)
        seconds += time.perf_counter() - began
        for fault in faults(geometry):
            wrong[fault] += 1
        as_drawn = max(minor, THINNEST_DRAWN_M, 1e-5 * major)
        errors.append(abs(area_m2(geometry) / (np.pi * max(major, as_drawn) * as_drawn) - 1))
    for fault, times in wrong.items():
        report(f"ellipse_drawing.{count}_ellipses.{fault}", times, "ellipses", target="0", ok=times == 0)
    worst = max(errors)
    name = f"ellipse_drawing.{count}_ellipses.worst_area_error"
    report(name, worst, "of pi a b", target="<= 0.001", ok=worst <= 1e-3)
    report(f"ellipse_drawing.{count}_ellipses.time", 1e6 * seconds / count, "us each")


def drawn_anywhere(count: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(7)
    latitude = np.rad2deg(np.arcsin(rng.uniform(-1, 1, count)))
    latitude[::5] = rng.choice([-1, 1], latitude[::5].shape) * rng.uniform(88, 90, latitude[::5].shape)
    longitude = rng.uniform(-180, 180, count)
    longitude[::3] = (rng.uniform(179, 181, longitude[::3].shape) + 180) % 360 - 180
    major = 10 ** rng.uniform(0, np.log10(300_000), count)
    minor = major * 10 ** rng.uniform(-3, 0, count)
    return np.column_stack([latitude, longitude, major, minor, rng.uniform(0, 180, count)])


def faults(geometry: Mapping[str, Any]) -> list[str]:
    drawn = shape(geometry)
    parts = getattr(drawn, "geoms", [drawn])
    beyond = any(max(abs(part.bounds[0]), abs(part.bounds[2])) > 180 for part in parts)
    found = {
        "invalid": not drawn.is_valid,
        "clockwise": not all(part.exterior.is_ccw for part in parts),
        "beyond_180": beyond,
    }
    return [fault for fault, is_so in found.items() if is_so]


def area_m2(geometry: Mapping[str, Any]) -> float:
    """GeographicLib's area of the polygon, its edges taken for geodesics."""
    rings = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    total = 0.0
    for (ring,) in rings:
        polygon = Geodesic.WGS84.Polygon()
        for longitude, latitude in ring[:-1]:
            polygon.AddPoint(latitude, longitude)
        total += polygon.Compute(reverse=False, sign=True)[2]
    return total


def circles() -> None:
    """CEP, R90 and R95 against SciPy's quadrature: the largest relative error in the level they hold."""
    for name, level in (("cep50", 0.5), ("r90", 0.9), ("r95", 0.95)):
        ratios = (1.0, 0.999, 0.9, 0.5, 0.1, 0.01, 1e-3, 1e-4, 1e-6, 1e-9, 0.0)
        worst = max(abs(held(float(sextant.circular_radius(level, 1.0, minor)), minor) / level - 1) for minor in ratios)
        report(f"ellipse_drawing.{name}", worst, "relative error", target="<= 1e-06", ok=worst <= 1e-6)


def held(radius: float, minor: float) -> float:
    """The share of a Gaussian of deviations 1 and *minor* within *radius*, strip by strip."""
    if minor == 0:
        return float(erf(radius / np.sqrt(2)))

    def strip(angle: float) -> float:
        height = radius * np.cos(angle)
        return float(np.exp(-((radius * np.sin(angle)) ** 2) / 2) * erf(height / (minor * np.sqrt(2))) * height)

    edges = [0.0, *(np.arccos(min(height * minor / radius, 1.0)) for height in (8, 1)), np.pi / 2]
    total = sum(quad(strip, *piece, epsrel=1e-11, epsabs=1e-16, limit=200)[0] for piece in pairwise(edges))
    return float(2 * total / np.sqrt(2 * np.pi))


if __name__ == "__main__":
    main()
