"""How sure a vote is, as nodes: the arithmetic of ``sextant.confidence``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from sextant.confidence import LEAST
from sextant_export.fusing.graph import Value, where
from sextant_export.fusing.written import for_all


class Poll(NamedTuple):
    """*shares* ``(B, C)``, the *winner* as a truth ``(B, C)``, its *place* and *votes* ``(B, 1)``, and ties."""

    shares: Value
    winner: Value
    place: Value
    votes: Value
    tied: Value


def confidence(parameters: Mapping[str, Any], poll: Poll, pooled: Value, members: int) -> dict[str, Value]:
    """The probabilities as they are answered, and how likely the winner is right, 0-100; *pooled* are FP32."""
    page, wide = parameters.get("confidence"), pooled.cast(np.float64)
    if page is None:
        counted = (poll.votes + 1.0) * 100.0 / float(members + 2)
        return {"probabilities": pooled, "confidence": counted.cast(np.float32)}
    if page["kind"] == "temperature":
        tempered = softmax(floored(wide, LEAST).apply("Log") * (1 / page["temperature"]))
        right = (tempered * poll.winner.cast(np.float64)).total() * 100.0
        return {"probabilities": tempered.cast(np.float32), "confidence": right.cast(np.float32)}
    right = _interpolated(_measure(page["of"], poll, wide, members), page["x"], page["y"]) * 100.0
    return {"probabilities": pooled, "confidence": right.cast(np.float32)}


def prediction_sets(parameters: Mapping[str, Any], poll: Poll, pooled: Value) -> dict[str, Value]:
    """Which classes are in the set of each level ``(B, L, C)``; nothing where none are asked for."""
    levels = parameters.get("confidence_levels")
    if levels is None:
        return {}
    classes, thresholds = len(parameters["classes"]), parameters.get("thresholds")
    wide = pooled.cast(np.float64).reshape(0, 1, classes)
    # Without thresholds nothing is known, and every class is in every set: as no probability is less than nothing.
    least = np.asarray([-1.0] * len(levels) if thresholds is None else thresholds, dtype=np.float64)
    within = (wide >= least.reshape(1, -1, 1)) | poll.winner.reshape(0, 1, classes)
    return {
        "prediction_set": within,
        "confidence_level": for_all(poll.tied, np.asarray([levels], dtype=np.float64)),
    }


def softmax(logarithms: Value) -> Value:
    """Logarithms ``(B, C)`` as shares of sum one."""
    shares = (logarithms - logarithms.most()).apply("Exp")
    return shares / shares.total()


def floored(values: Value, least: float) -> Value:
    """*values*, and *least* where they are less."""
    return where(values < least, values.like(least), values)


def _measure(name: str, poll: Poll, pooled: Value, members: int) -> Value:
    """One number a row ``(B, 1)`` that grows with how sure the vote looks."""
    if name == "agreement":
        return poll.votes / float(members)
    top = (pooled * poll.winner.cast(np.float64)).total()
    if name == "top_probability":
        return top
    return top - where(poll.winner, pooled.like(0.0), pooled).most()


def _interpolated(value: Value, x: list[float], y: list[float]) -> Value:
    """*value* ``(B, 1)`` read off the line through the knots *x*, *y*, which is level beyond them."""
    knots, heights = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(knots) == 1:
        return where(value >= knots[0], value.like(heights[0]), heights[0])
    steps = np.diff(knots)
    slopes = np.divide(np.diff(heights), steps, out=np.zeros(len(steps)), where=steps > 0)
    below = (value >= knots[None]).cast(np.float64).total() - 1.0
    place = where(below < 0.0, below.like(0.0), below)
    place = where(place > float(len(steps) - 1), place.like(len(steps) - 1), place).cast(np.int64)
    start, height, slope = (value.like(each).apply("Gather", place, axis=0) for each in (knots, heights, slopes))
    inner = height + slope * (value - start)
    capped = where(value >= knots[-1], value.like(heights[-1]), inner)
    return where(value < knots[0], value.like(heights[0]), capped)
