"""
What blocks are measured by: the metrics they have, and what each takes from an answer.

A block says in ``series`` what of its answers is worth measuring, next to the arithmetic that gives them; how it is
counted and written is :mod:`sextant.meter`'s business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sextant.tensors import Floats


class Measure(NamedTuple):
    """A metric and its *text*; a histogram where it has upper *bounds*, else a counter."""

    name: str
    text: str
    bounds: tuple[float, ...] = ()


class Series(NamedTuple):
    """
    A line of a measure: what it takes *of* one *tensor* of the answers, values for a histogram, amounts for a counter.

    *labels* are those that it has besides the block's own.
    """

    measure: Measure
    tensor: str
    of: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray
    labels: Mapping[str, str] = MappingProxyType({})


def amounts(bounds: Sequence[float], values: NDArray[Any]) -> list[float]:
    """
    What *values* add to a histogram: to each cumulative bucket, the last without a bound; to the sum; to the count.

    Without *bounds*, what they add to a counter.  What is no number adds nothing.

    >>> amounts((1.0, 2.0), np.array([0.5, 2.0, 7.0, np.nan]))
    [1.0, 2.0, 3.0, 9.5, 3.0]
    >>> amounts((), np.array([2, 3]))
    [5.0]
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    flat = flat[np.isfinite(flat)]
    total = float(flat.sum())
    if not bounds:
        return [total]
    within = np.searchsorted(np.sort(flat), bounds, side="right").astype(float).tolist()
    return [*within, float(len(flat)), total, float(len(flat))]


def ellipse_areas(level: int, axes: NDArray[Any]) -> Floats:
    """
    Square metres ``(B,)`` of the ellipses of one *level* of *axes* ``(B, L, 3)``.

    >>> ellipse_areas(0, np.array([[[2.0, 1.0, 90.0]]])).round(3).tolist()
    [6.283]
    """
    return np.asarray(np.pi * axes[:, level, 0] * axes[:, level, 1])


def rejections(member: str, named: NDArray[Any]) -> NDArray[np.int64]:
    """
    How often *member* was left out: for each kind of comma-joined names in *named* ``(B, 1)``, its rows that hold it.

    >>> rejections("elm", np.array([[b"oak,elm"], [b""], [b"oak,elm"]], object)).tolist()
    [2, 0]
    """
    name = member.encode()
    said = Counter(named.ravel().tolist())
    return np.array([rows if name in names.split(b",") else 0 for names, rows in said.items()], np.int64)


_SHARES = tuple(tenths / 10 for tenths in range(1, 11))

SECONDS = Measure(
    "sextant_block_seconds",
    "How long one call of the block's arithmetic took, for all rows of a dynamic batch, in seconds",
    (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
BETWEEN_SHARE = Measure(
    "sextant_between_share", "The share of the members' disagreement in a fix's variance, from 0 to 1", _SHARES
)
MEMBERS_REJECTED = Measure("sextant_members_rejected_total", "Rows of which the gate of the fusion left the member out")
ELLIPSE_AREA = Measure(
    "sextant_ellipse_area_m2",
    "The area of a fix's ellipse of this confidence level, in square metres",
    tuple(float(f"{10 ** (halves / 2):.3g}") for halves in range(17)),
)
AGREEMENT = Measure("sextant_agreement", "The winner's share of the votes, from 0 to 1", _SHARES)
CONFIDENCE = Measure(
    "sextant_confidence",
    "The calibrated probability of a label being right, from 0 to 100",
    (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 99.0, 100.0),
)
REFUSED = Measure("sextant_refused_total", "Requests that the block refused, by the kind of fault")
FAILURES = Measure("sextant_failures_total", "Requests that broke, by a fault of the model or by a bug of the block")
LOADS = Measure("sextant_block_loads_total", "Processes of the block that loaded its parameters: loads and reloads")
LOADED = Measure("sextant_block_loaded_timestamp_seconds", "When the block was last loaded, in seconds since 1970")

MEASURES = (
    SECONDS,
    BETWEEN_SHARE,
    MEMBERS_REJECTED,
    ELLIPSE_AREA,
    AGREEMENT,
    CONFIDENCE,
    REFUSED,
    FAILURES,
    LOADS,
    LOADED,
)
"""Every measure of a block."""
