"""
What an ensemble and its graph are asked, to see whether they answer alike.

Known cases, what the members were proven on, brought back through the blocks before them where that can be undone, and
rows that no block should let pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.parameters import number
from sextant.tensors import Tensor
from sextant_export.fusing.parts import Part
from sextant_export.known_cases import KnownCases
from sextant_export.rows import length
from sextant_export.signature import Feed
from sextant_export.value_space import imagined

ROWS = 1024
SEED = 20_260
LARGE, FEW = 1 << 12, 128
"""Of rows of so many values no more than a few are asked."""

_BAD = (np.nan, np.inf, -np.inf)
_STRANGE = b"nobody's"


def questions(parts: Sequence[Part], inputs: Sequence[Tensor], cases: KnownCases | None) -> Feed:
    """Rows for the ensemble's *inputs*; the last of them are such as a block should refuse."""
    before = list(takewhile(lambda part: part.member is None, parts))
    taken = [tensor for tensor in inputs if any(tensor.name in part.inputs for part in _first(parts, before))]
    rows = _few(_joined(list(_sources(parts, before, taken, cases))))
    if len(taken) == 1 and taken[0].numpy_type.kind == "f":
        name = taken[0].name
        rows = _joined([rows, {name: np.stack(list(_bad(before, rows[name][0])))}])
    return rows | {tensor.name: _groups(parts, length(rows)) for tensor in inputs if tensor not in taken}


def _first(parts: Sequence[Part], before: Sequence[Part]) -> Sequence[Part]:
    """The steps that take what a caller sends first of all: the first block, or every member."""
    return before[:1] or [part for part in parts if part.member is not None]


def _sources(
    parts: Sequence[Part], before: Sequence[Part], inputs: Sequence[Tensor], cases: KnownCases | None
) -> Iterator[Feed]:
    """Rows of *inputs*, from wherever there are some."""
    if cases is not None:
        yield {inputs[0].name: cases.features.astype(inputs[0].numpy_type)}
    if all(part.name in UNDONE for part in before):
        for part in parts:
            if part.member is not None:
                yield _brought_back(before, part, inputs)
    elif cases is None:
        yield imagined(inputs, SEED)


def _brought_back(before: Sequence[Part], part: Part, inputs: Sequence[Tensor]) -> Feed:
    """What a member was proven on, as a caller would have sent it."""
    assert part.member is not None  # noqa: S101 - of a member
    feed = part.member.feed
    if not before:
        return {name: feed[own] for own, name in part.step.input_map.items()}
    (rows,) = feed.values()
    for block in reversed(before):
        rows = UNDONE[block.name](block.parameters, rows)
    return {inputs[0].name: rows}


def _unscaled(parameters: Mapping[str, Any], scaled: NDArray[Any]) -> NDArray[Any]:
    """Features that ``scale`` makes *scaled* of, within rounding."""
    divisor, power, offset = (number(parameters, key, default) or 0.0 for key, default in _SCALE)
    features = np.maximum(scaled, 0).astype(np.float64) ** (1 / power) * divisor - offset
    least, most = (number(parameters, key, None) for key in ("at_least", "at_most"))
    bounded = features if least is None and most is None else np.clip(features, least, most)
    return np.asarray(bounded.astype(np.float32))


_SCALE = (("divisor", 1.0), ("power", 1.0), ("offset", 0.0))
UNDONE: Mapping[str, Callable[[Mapping[str, Any], NDArray[Any]], NDArray[Any]]] = MappingProxyType({"scale": _unscaled})
"""Blocks whose work can be undone, and what undoes it, given their parameters and what they gave."""


def _few(feed: Feed) -> dict[str, NDArray[Any]]:
    """Some of the rows, from all over."""
    first = next(iter(feed.values()))
    most = FEW if first[0].size > LARGE else ROWS
    places = np.unique(np.linspace(0, len(first) - 1, min(most, len(first))).astype(np.int64))
    return {name: array[places] for name, array in feed.items()}


def _bad(before: Sequence[Part], row: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """*row* with one value that is no number, and with values on the bounds of the blocks and just beyond them."""
    bounds = [number(part.parameters, key, None) for part in before for key in ("at_least", "at_most")]
    beside = [
        np.nextafter(row.dtype.type(b), row.dtype.type(s * np.inf)) for b in bounds if b is not None for s in (-1, 1)
    ]
    for value in (*_BAD, *(bound for bound in bounds if bound is not None), *beside):
        spoilt = row.copy()
        spoilt.reshape(-1)[-1] = value
        yield spoilt


def _groups(parts: Sequence[Part], rows: int) -> NDArray[Any]:
    """Each group in turn, and in the last row one that is none."""
    groups = next(part.parameters["groups"] for part in parts if part.parameters.get("groups"))
    names = [str(name).encode() for name in groups["values"]]
    words = np.empty((rows, 1), dtype=object)
    words[:, 0] = [names[i % len(names)] for i in range(rows - 1)] + [_STRANGE]
    return words


def _joined(feeds: Sequence[Feed]) -> dict[str, NDArray[Any]]:
    """All rows that are shaped like the first: an axis that is open may be of any length."""
    first = feeds[0]
    alike = [feed for feed in feeds if all(feed[name].shape[1:] == first[name].shape[1:] for name in first)]
    return {name: np.concatenate([feed[name] for feed in alike]) for name in first}
