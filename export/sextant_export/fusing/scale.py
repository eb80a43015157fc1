"""The block ``scale`` as nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sextant.parameters import number
from sextant_export.fusing.graph import Value, where
from sextant_export.fusing.written import Written

KNOWN = frozenset({"width", "offset", "divisor", "missing", "power", "at_least", "at_most"})
_LARGEST = np.finfo(np.float32).max


def write(parameters: Mapping[str, Any], inputs: Mapping[str, Value]) -> Written:
    """The features, scaled; a row that is refused becomes zeros, so that no member sees what it was."""
    features = inputs["features"]
    missing = number(parameters, "missing", None)
    absent = None if missing is None else features.equals(missing)
    admitted = _admitted(parameters, features, absent).all()
    scaled = _scaled(parameters, features)
    kept = admitted if absent is None else admitted & ~absent
    exact = number(parameters, "power", 1.0) in {1.0, 2.0}
    return Written({"scaled": where(kept, scaled, 0.0)}, ~admitted, exact)


def _admitted(parameters: Mapping[str, Any], features: Value, absent: Value | None) -> Value:
    """Which numbers are finite, and in range where they are not missing."""
    within: Value | None = None
    low, high = (number(parameters, key, None) for key in ("at_least", "at_most"))
    for inside in (None if low is None else features >= low, None if high is None else features <= high):
        if inside is not None:
            within = inside if within is None else within & inside
    finite = abs(features) <= _LARGEST
    if within is None:
        return finite
    return finite & (within if absent is None else within | absent)


def _scaled(parameters: Mapping[str, Any], features: Value) -> Value:
    scaled = features
    if offset := number(parameters, "offset", 0.0):
        scaled = scaled + offset
    if (divisor := number(parameters, "divisor", 1.0)) != 1:
        scaled = scaled / divisor
    scaled = scaled.apply("Relu")
    return scaled if (power := number(parameters, "power", 1.0)) == 1 else scaled**power
