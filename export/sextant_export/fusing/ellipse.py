"""The block ``ellipse`` as nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unicodedata import normalize

import numpy as np

from sextant.covariance import ROUNDING
from sextant.ellipse import FEWEST_DRAWS, NOTHING, mahalanobis_radius, small_sample_radius
from sextant.parameters import SLOTS
from sextant.tensors import Floats
from sextant_export.fusing.covariance import Spread, checked
from sextant_export.fusing.graph import Value, concat, where
from sextant_export.fusing.trigonometry import bearing, hypotenuse
from sextant_export.fusing.written import Written, for_all

KNOWN = frozenset({"confidence_levels", "radii", "release", "scale_method", "groups"})


def obstacle(parameters: Mapping[str, Any]) -> str | None:
    """Why it cannot be nodes; None where it can."""
    if (parameters.get("groups") or {}).get("by") == "distance_m":
        return "groups by distance_m need the geodesic from each fix to a point, which is found by iteration"
    return None


def write(parameters: Mapping[str, Any], inputs: Mapping[str, Value]) -> Written:
    """The tensors of the position answer."""
    covariance = inputs["fused_covariance"]
    spread, admitted = checked(covariance.reshape(0, 4), 1, np.array([ROUNDING]))
    largest, smallest = spread.eigenvalues()
    least = smallest.apply("Relu")
    degenerate = least <= largest * NOTHING
    radii, admitted = _radii(parameters, inputs, largest, admitted)
    unit = [largest.sqrt(), least.sqrt(), _orientation_deg(spread)]
    outputs = {
        "position": inputs["fused_position"],
        "covariance": covariance,
        "ellipse": _ellipses(unit, radii, len(parameters["confidence_levels"])),
        "between_share": inputs["fused_between_share"],
        "members_used": inputs["fused_members_used"],
        "degenerate": degenerate,
        "multimodal": inputs["fused_multimodal"],
        **_told_to_all(parameters, admitted),
    }
    if "fused_members_rejected" in inputs:
        outputs["members_rejected"] = inputs["fused_members_rejected"]
    return Written(outputs, ~admitted)


def _ellipses(unit: list[Value], radii: Value, levels: int) -> Value:
    """Ellipses ``(B, L, 3)`` of *unit* axes and bearing, each ``(B, 1)``; *radii* are ``(L,)`` or ``(B, L)``."""
    axes = concat(unit).reshape(0, 1, 3)
    plain = np.array([0.0, 0.0, 1.0])
    factors = radii.reshape(-1, levels, 1) * (1 - plain) + plain
    return axes * factors


def _orientation_deg(spread: Spread) -> Value:
    difference, twice = spread.north - spread.east, spread.cross * 2.0
    turned = bearing(twice, difference) * (90 / np.pi)
    positive = where(turned < 0.0, turned + 180.0, turned)
    circular = hypotenuse(difference, twice) <= (spread.east + spread.north) * NOTHING
    return where(circular | (positive >= 180.0), positive.like(0.0), positive)


def _radii(
    parameters: Mapping[str, Any], inputs: Mapping[str, Value], largest: Value, admitted: Value
) -> tuple[Value, Value]:
    """The Mahalanobis radii, and which of the rows *admitted* have some."""
    graph, groups, levels = largest.graph, parameters.get("groups"), np.asarray(parameters["confidence_levels"])
    if groups is not None:
        return _of_groups(groups, inputs, largest, admitted)
    if parameters.get("radii") is not None:
        return graph.constant(np.asarray(parameters["radii"], dtype=np.float64)), admitted
    if (parameters.get("scale_method") or "chi2") == "chi2":
        return graph.constant(mahalanobis_radius(levels)), admitted
    used = inputs["fused_members_used"]
    return _row(_of_draws(levels), used), admitted & (used >= FEWEST_DRAWS)


def _of_groups(
    groups: Mapping[str, Any], inputs: Mapping[str, Value], largest: Value, admitted: Value
) -> tuple[Value, Value]:
    table = np.asarray(groups["radii"], dtype=np.float64)
    if groups["by"] == "sd_major_m":
        above = (largest.sqrt() >= np.asarray(groups["edges"], dtype=np.float64)).cast(np.float32)
        ones = above.like(np.ones((len(groups["edges"]), 1)))
        return _row(table, above @ ones), admitted
    # An accent may come in its letter or after it; a graph cannot compose them.
    places = {normalize(form, name): i for i, name in enumerate(groups["values"]) for form in ("NFC", "NFD")}
    place = inputs["group"].apply(
        "LabelEncoder",
        dtype=np.int64,
        domain="ai.onnx.ml",
        keys_strings=list(places),
        values_int64s=list(places.values()),
        default_int64=-1,
    )
    return _row(table, where(place < 0, place.like(0), place)), admitted & (place >= 0)


def _row(table: Floats, place: Value) -> Value:
    """The row of *table* ``(G, L)`` for each *place* ``(B, 1)``."""
    return place.graph.constant(table).apply("Gather", place.cast(np.int64).reshape(-1), axis=0)


def _of_draws(levels: Floats) -> Floats:
    """Radii by how many members were used; fewer than three are refused, and have those of three."""
    return np.stack([small_sample_radius(levels, max(used, FEWEST_DRAWS)) for used in range(SLOTS + 1)])


def _told_to_all(parameters: Mapping[str, Any], somewhere: Value) -> dict[str, Value]:
    """What is the same in every row; *somewhere* ``(B, 1)`` knows how many there are."""
    calibrated = parameters.get("radii") is not None or parameters.get("groups") is not None
    method = "conformal" if calibrated else parameters.get("scale_method") or "chi2"
    told = {
        "confidence_level": np.asarray([parameters["confidence_levels"]], dtype=np.float64),
        "release": np.array([[parameters["release"]]], dtype=np.int32),
        "scale_method": np.array([[method]], dtype=object),
        "members_rejected": np.array([[""]], dtype=object),
        "calibrated": calibrated,
    }
    return {name: for_all(somewhere, value) for name, value in told.items()}
