"""
Rows that stand on an edge: where a tree splits or two classes tie, and the last bit decides.

The graph is proven on them here, where it and the ensemble are asked alike. Through Triton rows come in batches of
another size, which are added up in another order, so that the last bit is another: there nothing can be expected of
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from sextant_export.causes import NUDGES, Tolerances, largest, nudged
from sextant_export.difference import excess
from sextant_export.fusing.parts import Part
from sextant_export.fusing.proof import in_metres
from sextant_export.fusing.rehearsal import Rehearsed, rehearse
from sextant_export.signature import Arrays

SIZES = (1, 8)
"""Batches that are tried, and the largest that will be served."""


def steady(parts: Sequence[Part], told: Rehearsed, allowed: Tolerances, batch: int) -> NDArray[np.int64]:
    """
    The rows of *told*, by their places in what was asked, that *parts* answer alike however they are asked.

    In batches of other sizes, up to *batch*, and with what members take moved by units in the last place. *allowed* is
    what is tolerated of the outputs that it names.
    """
    kept = np.ones(len(told.answered), dtype=np.bool_)
    expected = in_metres({name: told.tensors[name] for name in allowed})
    for again in (*_in_other_company(parts, told, list(allowed), batch), *_moved(parts, told, list(allowed))):
        kept &= excess(allowed, expected, in_metres(again)) <= 1
    return told.answered[kept]


def _in_other_company(parts: Sequence[Part], told: Rehearsed, names: Sequence[str], batch: int) -> Iterator[Arrays]:
    feed = _taken(parts, told)
    for size in sorted({*SIZES, batch}):
        yield rehearse(parts, feed, size).whole(names, len(told.answered))


def _moved(parts: Sequence[Part], told: Rehearsed, names: Sequence[str]) -> Iterator[Arrays]:
    """Each row sixteen times, moved a little each time, behind the first as it was, which is answered for sure."""
    before = list(takewhile(lambda part: part.member is None, parts))
    after = parts[len(before) :] or parts
    feed = _taken(after, told)
    moved = {name: nudged(array, largest(array), 1) for name, array in feed.items()}
    asked = {name: np.concatenate([feed[name][:1], array]) for name, array in moved.items()}
    whole = rehearse(after, asked).whole(names, 1 + NUDGES * len(told.answered))
    for turn in range(NUDGES):
        yield {name: array[1 + turn :: NUDGES] for name, array in whole.items()}


def _taken(parts: Sequence[Part], told: Rehearsed) -> Arrays:
    """What *parts* take that none of them makes."""
    made = {name for part in parts for name in part.outputs}
    return {name: told.tensors[name] for part in parts for name in part.inputs if name not in made}
