"""What a step becomes in a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from sextant_export.fusing.graph import Value, where


class Written(NamedTuple):
    """
    A step's *outputs*, by the block's own names, and which rows ``(B, 1)`` it would have *refused*; None where none.

    *exact* says that the block's own numbers come of it, but for the last places of FP64.
    """

    outputs: Mapping[str, Value]
    refused: Value | None = None
    exact: bool = True


def for_all(somewhere: Value, told: Any) -> Value:
    """What every row is *told*, one row of it ``(1, ...)``; the truth *somewhere* ``(B, 1)`` has all the rows."""
    if isinstance(told, bool):
        return somewhere | ~somewhere if told else somewhere & ~somewhere
    constant = somewhere.graph.constant(np.asarray(told))
    return where(somewhere, constant, constant)
