"""
Fixes as one GeoJSON file for any map: where each thing was, where it was put, and its ellipses.

Features carry their colour in the words that GitHub and geojson.io read (simplestyle), the same as in the pictures.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sextant.answers import Fix
from sextant.scores import inside, offsets_m
from sextant.tensors import Floats

from .drawing import FAINT, FILL, HELD, INK, MISSED
from .survey import Survey

MOST_FIXES = 250
"""More than a map in a browser draws with pleasure; beyond, every so-manieth is written."""

DECIMALS = 7
"""Of degrees: a centimetre."""


def write_geojson(path: Path, fixes: Sequence[Fix], survey: Survey) -> int:
    """
    An RFC 7946 FeatureCollection of *fixes* of the rows of *survey*; how many fixes were written.

    Features carry the property ``row``, which says what belongs together, and ``error_m``.
    """
    rows = np.unique(np.linspace(0, len(fixes) - 1, min(len(fixes), MOST_FIXES)).astype(int))
    truth = survey.truth
    write_features(path, (drawn for row in rows.tolist() for drawn in with_truth(fixes[row], truth[row], row=row)))
    return len(rows)


def write_features(path: Path, features: Iterable[dict[str, Any]]) -> int:
    """A FeatureCollection of *features*; how many they are."""
    written = list(features)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": written}), encoding="utf-8")
    return len(written)


def feature(kind: str, places: Floats, colour: str, **properties: Any) -> dict[str, Any]:
    """
    A point or a line at *places* ``(..., 2)``, latitude and longitude in degrees.

    >>> feature("Point", np.array([48.0, 11.0]), INK)["geometry"]
    {'type': 'Point', 'coordinates': [11.0, 48.0]}
    """
    geometry = {"type": kind, "coordinates": places[..., ::-1].round(DECIMALS).tolist()}
    return {"type": "Feature", "geometry": geometry, "properties": {**properties, **_style(kind, colour)}}


def of_fix(fix: Fix, place: Floats, **facts: Any) -> Iterator[dict[str, Any]]:
    """The point of *fix* and its ellipses, each with *facts*, its ``error_m``, and the colour of what it holds."""
    offset = offsets_m([fix], place[None])
    for drawn in fix.to_geojson()["features"]:
        level = drawn["properties"].get("confidence_level")
        colour = FAINT if level is None else HELD if inside([fix], offset, level).all() else MISSED
        told = {**drawn["properties"], **facts, "error_m": _length_m(offset)}
        yield {**drawn, "properties": {**told, **_style(drawn["geometry"]["type"], colour)}}


def with_truth(fix: Fix, place: Floats, **facts: Any) -> Iterator[dict[str, Any]]:
    """What ``of_fix`` gives, and the true *place* ``(2,)``, also with *facts* and the ``error_m``."""
    yield from of_fix(fix, place, **facts)
    error_m = _length_m(offsets_m([fix], place[None]))
    yield feature("Point", place, INK, true_place=True, error_m=error_m, **facts)


def _length_m(offset: Floats) -> float:
    return round(float(np.hypot(*offset[0])), 2)


def _style(kind: str, colour: str) -> dict[str, Any]:
    if kind == "Point":
        return {"marker-color": colour, "marker-size": "small"}
    return {"stroke": colour, "stroke-width": 1, "fill": colour, "fill-opacity": FILL}
