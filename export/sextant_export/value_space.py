"""What is known of the values that a tensor takes, and rows drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.columns import Column
from sextant.tensors import Tensor, triton_type
from sextant_export.difference import spread
from sextant_export.signature import Feed

WHOLE = ("boolean", "integer", "long", "bool", "int", "uint")
# A column that is the same in so few rows is no constant, only little seen.
FEW = 30
IMAGINED = 256
OPEN = 8
"""How long an axis is that nothing says the length of."""

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSpace:
    """
    The values of one *tensor*: *rows* (N, width) that are known, each column's *low* and *high*, and which are *whole*.

    *shape* is that of one row.  Words have neither low nor high.
    """

    tensor: Tensor
    rows: NDArray[Any] = field(repr=False)
    shape: tuple[int, ...]
    low: NDArray[Any] = field(repr=False)
    high: NDArray[Any] = field(repr=False)
    whole: NDArray[np.bool_] = field(repr=False)

    @property
    def width(self) -> int:
        """How many values a row holds."""
        return int(self.rows.shape[1])

    @property
    def words(self) -> bool:
        """Whether it is text, and no numbers."""
        return self.tensor.dtype == "BYTES"

    @property
    def real(self) -> NDArray[np.bool_]:
        """Which columns are real numbers."""
        return ~self.whole & (self.tensor.numpy_type.kind == "f")

    def known(self, index: Index) -> NDArray[Any]:
        """Known rows (n, width), counted round and round."""
        return np.asarray(self.rows[index % len(self.rows)])

    def shaped(self, flat: NDArray[Any]) -> NDArray[Any]:
        """Rows (n, width) as the tensor."""
        return flat.astype(self.tensor.numpy_type, copy=False).reshape(len(flat), *self.shape)

    def drawn(self, count: int, again: Index, pairs: tuple[Index, Index], random: np.random.Generator) -> NDArray[Any]:
        """*count* rows: those known at *again*, those at *pairs* crossed and nudged, and the rest anywhere."""
        one, other = (self.known(index) for index in pairs)
        crossed = np.where(random.random(one.shape, dtype=np.float32) < 0.3, other, one)
        rest = (count - len(again) - len(crossed), self.width)
        if self.words:
            anywhere = self.rows[random.integers(len(self.rows), size=rest), np.arange(self.width)]
        else:
            crossed, anywhere = self._moved(crossed, random), self._anywhere(rest, random)
        return np.concatenate([self.known(again), crossed, anywhere])

    def _moved(self, rows: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
        """What is not at its column's floor moved by a fiftieth of the column's spread."""
        if rows.dtype.kind == "b":
            return rows
        noise = random.standard_normal(rows.shape, dtype=np.float32) * np.float32(0.02) * spread(self.rows)
        noise = np.where(self.whole, np.rint(noise), noise).astype(rows.dtype, copy=False)
        return np.clip(np.where(rows == self.low, rows, rows + noise), self.low, self.high)

    def _anywhere(self, size: tuple[int, int], random: np.random.Generator) -> NDArray[Any]:
        kind = self.rows.dtype
        if kind.kind == "b":
            return random.random(size) < 0.5
        if kind.kind in "iu":
            return random.integers(self.low, self.high, size=size, dtype=kind, endpoint=True)
        share = random.random(size, dtype=np.float64 if kind.itemsize == 8 else np.float32)
        drawn = np.clip(self.low + share * (self.high - self.low), self.low, self.high)
        return np.where(self.whole, np.rint(drawn), drawn).astype(kind, copy=False)


def spaces(inputs: Sequence[Tensor], known: Sequence[Feed], columns: Sequence[Column]) -> tuple[ValueSpace, ...]:
    """
    What the *known* rows, the last of which say most, tell of each of *inputs*.

    ``ValueError`` names an input that none of them holds; one that is optional is left out.
    """
    found = []
    for tensor in inputs:
        holding = [feed[tensor.name] for feed in known if tensor.name in feed and len(feed[tensor.name])]
        if holding:
            found.append(_space(tensor, holding[-1], columns))
        elif not tensor.optional:
            raise ValueError(f"no row of the input {tensor.name!r} is known")
    return tuple(found)


def imagined(inputs: Sequence[Tensor], seed: int) -> Feed:
    """Rows for inputs of which nothing is known: small numbers of both signs. ``ValueError`` where one takes words."""
    random = np.random.default_rng(seed)
    feed: dict[str, NDArray[Any]] = {}
    for tensor in inputs:
        size = (IMAGINED, *(dim if dim >= 0 else OPEN for dim in tensor.dims))
        if tensor.dtype == "BYTES":
            raise ValueError(f"the input {tensor.name!r} takes words, and none is known")
        real = tensor.numpy_type.kind == "f"
        values = random.standard_normal(size) if real else random.integers(0, 2 if tensor.dtype == "BOOL" else 10, size)
        feed[tensor.name] = values.astype(tensor.numpy_type)
    return feed


def seeded_rows(observed: NDArray[Any], count: int, seed: int) -> NDArray[Any]:
    """
    *count* rows like *observed* (N, ...): a quarter of it drawn again, a half crossed and nudged, a quarter anywhere.

    None leaves the range that its column shows in *observed*.
    """
    tensor = Tensor("rows", triton_type(observed.dtype), observed.shape[1:])
    return drawn(spaces([tensor], [{"rows": observed}], ()), count, np.random.default_rng(seed))["rows"]


def drawn(found: Sequence[ValueSpace], count: int, random: np.random.Generator) -> dict[str, NDArray[Any]]:
    """*count* rows of all tensors: what was known together is drawn again, and crossed, together."""
    most = max(len(space.rows) for space in found)
    again = random.integers(most, size=count // 4)
    pairs = (random.integers(most, size=count // 2), random.integers(most, size=count // 2))
    return {space.tensor.name: space.shaped(space.drawn(count, again, pairs, random)) for space in found}


def _space(tensor: Tensor, array: NDArray[Any], columns: Sequence[Column]) -> ValueSpace:
    rows = array.astype(tensor.numpy_type, copy=False).reshape(len(array), -1)
    words = tensor.dtype == "BYTES"
    whole = _whole(tensor, rows.shape[1], columns)
    low, high = (np.empty(0), np.empty(0)) if words else _range(rows, whole)
    return ValueSpace(tensor=tensor, rows=rows, shape=array.shape[1:], low=low, high=high, whole=whole)


def _whole(tensor: Tensor, width: int, columns: Sequence[Column]) -> NDArray[np.bool_]:
    """By the tensor's own type, or by that of the table's columns that it holds."""
    if tensor.numpy_type.kind != "f":
        return np.ones(width, dtype=bool)
    types = [column.type for column in columns if column.tensor == tensor.name] * width
    if not types and len(columns) == width:
        types = [column.type for column in columns]
    return np.array([kind.startswith(WHOLE) for kind in types[:width]] or [False] * width, dtype=bool)


def _range(rows: NDArray[Any], whole: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lowest and highest finite value of each column; where few rows agree on one value, what lies around it."""
    if rows.dtype.kind == "b":
        return np.zeros(rows.shape[1], dtype=bool), np.ones(rows.shape[1], dtype=bool)
    seen = np.isfinite(rows)
    known = seen.any(axis=0)
    low = np.where(known, np.where(seen, rows, rows[seen].max(initial=0)).min(axis=0), 0).astype(rows.dtype)
    high = np.where(known, np.where(seen, rows, rows[seen].min(initial=0)).max(axis=0), 0).astype(rows.dtype)
    if len(rows) >= FEW:
        return low, high
    around_low, around_high = _around(low, whole)
    narrow = low == high
    return np.where(narrow, around_low, low), np.where(narrow, around_high, high)


def _around(value: NDArray[Any], whole: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Half as much to as much again, of the same sign; whole numbers, which may be indices, no further out."""
    half = np.where(whole, np.trunc(value / 2), value / 2)
    further = np.where(whole, value, np.where(value == 0, 1.0, value + value / 2))
    low, high = np.minimum(half, further), np.maximum(half, further)
    return low.astype(value.dtype), high.astype(value.dtype)
