"""
The rows a proof asks: what was logged, what lies between, and the edges on purpose.

Drawn from a seed, so the same model is proven on the same rows.  No number leaves the range that its column shows in
the rows that are known; whole numbers stay whole, and words are words that were seen.  What an original may refuse,
gaps and words that nobody saw, is asked where it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.columns import Column
from sextant.tensors import Tensor
from sextant_export.edge_rows import PLACED, Thresholds, edge_rows
from sextant_export.signature import Arrays, Feed
from sextant_export.value_space import ValueSpace, drawn, imagined, spaces

BATCH = 256
LOGGED = 256
"""At most so many rows of the logged example are asked as they stand."""


class Rows(dict[str, NDArray[Any]]):
    """
    A feed that knows where its rows come from: *parts* are words, and how many rows each stands for, in order.

    >>> Rows({"x": np.zeros((3, 1))}, (("logged", 1), ("seeded", 2))).origin(1)
    'seeded'
    """

    def __init__(self, tensors: Feed, parts: tuple[tuple[str, int], ...]) -> None:
        super().__init__(tensors)
        self.parts = parts

    def origin(self, row: int) -> str:
        """Where *row* comes from."""
        ends = np.cumsum([count for _, count in self.parts])
        return self.parts[int(np.searchsorted(ends, row, side="right"))][0]


def proof_feed(
    inputs: Sequence[Tensor],
    known: Sequence[Feed],
    count: int,
    seed: int,
    columns: Sequence[Column] = (),
    *,
    original: Callable[[Feed], Arrays] | None = None,
    thresholds: Thresholds | None = None,
    imagine: bool = False,
    may_refuse: bool = False,
    first: str = "logged example",
) -> Rows:
    """
    What a copy with these *inputs* and its original are asked: the first of *known*, *count* rows like the last, edges.

    *columns* are the model's own, and say which numbers of a matrix are whole. *thresholds* are where the copy's trees
    split. *original* is asked whether it takes missing values and strange words, and where it *may_refuse* others,
    because it is somebody's own program, which of all the rows. ``ValueError`` where nothing is known of an input,
    unless the caller may *imagine* numbers.
    """
    if not known and imagine:
        known, first = [imagined(inputs, seed)], "imagined"
    found = spaces(inputs, known, columns)
    random = np.random.default_rng(seed)
    parts: list[tuple[str, Feed]] = [("seeded", drawn(found, count, random))]
    parts += edge_rows(found, random, thresholds or {}, original)
    if may_refuse and original is not None:
        parts = [(name, answered(original, feed)) for name, feed in parts]
    parts.insert(0, (first, _logged(inputs, known[0], columns, found)))
    return _joined([(name, feed) for name, feed in parts if length(feed)])


def answered(original: Callable[[Feed], Arrays], feed: Feed) -> Feed:
    """Those rows of *feed* that *original* answers at all: where it refuses many, each half of them is asked again."""
    count = length(feed)
    if count > BATCH:
        return _halves(original, feed, BATCH)
    try:
        if count:
            original(feed)
    except Exception:  # noqa: BLE001  whatever a model raises, it is a refusal
        return taken(feed, slice(0, 0)) if count == 1 else _halves(original, feed, count // 2)
    return feed


def _halves(original: Callable[[Feed], Arrays], feed: Feed, size: int) -> Feed:
    parts = [answered(original, taken(feed, slice(i, i + size))) for i in range(0, length(feed), size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in feed}


def _logged(inputs: Sequence[Tensor], example: Feed, columns: Sequence[Column], found: Sequence[ValueSpace]) -> Feed:
    """The beginning of the logged example; nothing where it lacks an input that is drawn, or has another shape."""
    if not example.keys() >= {space.tensor.name for space in found}:
        return {}
    logged = [space for space in spaces(inputs, [example], columns) if space.tensor.name in example]
    if [space.shape for space in logged] != [space.shape for space in found]:
        return {}
    return {space.tensor.name: space.shaped(space.rows[:LOGGED]) for space in logged}


def length(feed: Feed) -> int:
    """How many rows *feed* holds."""
    return len(next(iter(feed.values()), ()))


def taken(feed: Feed, index: Any) -> Feed:
    """The rows of *feed* at *index*."""
    return {name: array[index] for name, array in feed.items()}


def placed(feed: Feed, count: int) -> NDArray[np.bool_]:
    """Which of the *count* rows of *feed* stand on a threshold on purpose."""
    parts = feed.parts if isinstance(feed, Rows) else (("", count),)
    return np.repeat([name == PLACED for name, _ in parts], [size for _, size in parts])


def _joined(parts: Sequence[tuple[str, Feed]]) -> Rows:
    names = parts[0][1]
    tensors = {name: np.concatenate([feed[name] for _, feed in parts]) for name in names}
    grouped = groupby(((name, length(feed)) for name, feed in parts), key=lambda part: part[0])
    return Rows(tensors, tuple((name, sum(size for _, size in each)) for name, each in grouped))
