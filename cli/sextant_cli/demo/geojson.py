"""Fixes as one GeoJSON file for any map: where each thing was, where it was put, and its ellipses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sextant.answers import Fix
from sextant.scores import offsets_m

from .survey import Survey

MOST_FIXES = 250
"""More than a map in a browser draws with pleasure; beyond, every so-manieth is written."""


def write_geojson(path: Path, fixes: Sequence[Fix], survey: Survey) -> int:
    """
    An RFC 7946 FeatureCollection of *fixes* of the rows of *survey*; how many fixes were written.

    Features carry the property ``row``, which says what belongs together, and true places ``error_m``.
    """
    rows = np.unique(np.linspace(0, len(fixes) - 1, min(len(fixes), MOST_FIXES)).astype(int))
    chosen, places = [fixes[row] for row in rows], survey.truth[rows]
    errors = np.linalg.norm(offsets_m(chosen, places), axis=1)
    features = [
        feature
        for row, fix, place, error in zip(rows.tolist(), chosen, places.tolist(), errors.tolist(), strict=True)
        for feature in _features(row, fix, place, error)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return len(rows)


def _features(row: int, fix: Fix, place: list[float], error_m: float) -> Iterator[dict[str, Any]]:
    for feature in fix.to_geojson()["features"]:
        yield {**feature, "properties": {**feature["properties"], "row": row}}
    latitude, longitude = place
    yield {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [longitude, latitude]},
        "properties": {"row": row, "true_place": True, "error_m": error_m},
    }
