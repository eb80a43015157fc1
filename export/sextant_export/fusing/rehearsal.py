"""The ensemble itself, without Triton: members and blocks asked one after the other in this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sextant.errors import ConversionError, InputRefused
from sextant_export.fusing.parts import Part
from sextant_export.rows import BATCH, length, taken
from sextant_export.signature import Arrays, Feed

_NOTHING = {"f": np.nan, "i": -1, "u": 0, "b": False, "O": b""}


class Rehearsed(NamedTuple):
    """Every *tensor* of the ensemble by name, for the rows that were *answered* alone; the others were refused."""

    tensors: Arrays
    answered: NDArray[np.int64]

    def only(self, rows: NDArray[np.bool_]) -> Rehearsed:
        """This, of *rows* among those that were answered."""
        return Rehearsed({name: array[rows] for name, array in self.tensors.items()}, self.answered[rows])

    def whole(self, names: Iterable[str], rows: int) -> Arrays:
        """The tensors of these *names* for all *rows*: a graph has nothing to say where a block refuses."""
        return {name: _spread(self.tensors[name], self.answered, rows) for name in names}


def rehearse(parts: Sequence[Part], feed: Feed, batch: int = BATCH) -> Rehearsed:
    """
    What *parts* make of *feed*, *batch* rows at a time; each is refused or answered as if it had been asked alone.

    ``ConversionError`` where none is answered.
    """
    every = np.arange(length(feed))
    found = [each for start in every[::batch] for each in _rehearsed(parts, feed, every[start : start + batch])]
    if not found:
        raise ConversionError(
            "fuse_graph: the pipeline refuses every row that it was asked, and proves nothing so: bring rows that it "
            "answers, as known cases under `calibration:` or by input examples of its members"
        )
    names = found[0].tensors
    tensors = {name: np.concatenate([each.tensors[name] for each in found]) for name in names}
    return Rehearsed(tensors, np.concatenate([each.answered for each in found]))


def _rehearsed(parts: Sequence[Part], feed: Feed, rows: NDArray[np.int64]) -> Iterable[Rehearsed]:
    """All at once; where a row is refused, each half, so that a few bad rows cost little."""
    try:
        yield Rehearsed(_asked(parts, taken(feed, rows)), rows)
    except InputRefused:
        if len(rows) > 1:
            middle = len(rows) // 2
            yield from _rehearsed(parts, feed, rows[:middle])
            yield from _rehearsed(parts, feed, rows[middle:])


def _asked(parts: Sequence[Part], feed: Feed) -> dict[str, NDArray[Any]]:
    tensors = dict(feed)
    for part in parts:
        tensors |= part.answer(tensors)
    return tensors


def _spread(array: NDArray[Any], places: NDArray[np.int64], rows: int) -> NDArray[Any]:
    whole: NDArray[Any] = np.full((rows, *array.shape[1:]), _NOTHING[array.dtype.kind], dtype=array.dtype)
    whole[places] = array
    return whole


def texts(array: NDArray[Any]) -> NDArray[Any]:
    """Text as ONNX Runtime takes it."""
    if array.dtype.kind != "O":
        return array
    words = [word.decode() if isinstance(word, bytes) else word for word in array.reshape(-1)]
    return np.array(words, dtype=object).reshape(array.shape)
