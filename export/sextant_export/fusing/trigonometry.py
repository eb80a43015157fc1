"""
Angles in FP64, of what ONNX Runtime computes in FP64.

Its CPU kernels have a sine of FP64 from the oldest that is served here on; the cosine came only in 2026, and there is
no arc tangent but of FP32.
"""

from __future__ import annotations

import math

import numpy as np

from sextant_export.fusing.graph import Value, where


def hypotenuse(one: Value, other: Value) -> Value:
    """The length of a vector of moderate size."""
    return (one * one + other * other).sqrt()


def bearing(sine: Value, cosine: Value) -> Value:
    """
    The angle of a vector, in radians from -pi to pi, as ``arctan2`` gives it; NaN where it has no length.

    What FP32 finds first, good to seven digits, is turned away; of what is then left of the vector, the tangent and the
    angle are the same in FP64, because its third power vanishes.
    """
    near = (sine / cosine).cast(np.float32).apply("Atan").cast(np.float64)
    half_turn = where(cosine < 0.0, where(sine < 0.0, sine.like(-math.pi), math.pi), 0.0)
    first = near + half_turn
    along, across = (first + math.pi / 2).apply("Sin"), first.apply("Sin")
    return first + (sine * along - cosine * across) / (cosine * along + sine * across)
