"""What a pipeline takes and gives, and the caller's arrays brought into that form or refused."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sextant.errors import RequestRefused
from sextant.tensors import NUMPY_TYPES

from .dataframe import Table, is_frame
from .dtypes import Array, triton_dtype
from .transport import Limits, ModelInfer, Tensor, Tensors

_ONE = (1,)


class Batch(NamedTuple):
    """
    Arrays as they travel. ``single``: they came as one row, and one answer goes back.

    ``index``: they came as a table with this index, and a table goes back where the answer is one.
    """

    arrays: dict[str, Array]
    rows: int
    single: bool
    index: Any = None


@dataclass(frozen=True)
class Contract:
    """
    A pipeline's tensors, shapes without the batch dimension; ``limit`` None means no batches.

    ``classes`` are what the probabilities of a label are of.
    """

    model: str
    inputs: Mapping[str, Tensor]
    optional: frozenset[str]
    outputs: tuple[Tensor, ...]
    limit: int | None
    table: Table | None = None
    classes: tuple[str | int, ...] = ()

    @classmethod
    def of(cls, model: str, tensors: Tensors, limits: Limits) -> Contract:
        """The contract a model's metadata and configuration make together."""
        batched = limits.max_batch_size > 0
        return cls(
            model,
            {tensor.name: _per_row(tensor, batched) for tensor in tensors.inputs},
            limits.optional,
            tuple(_per_row(tensor, batched) for tensor in tensors.outputs),
            limits.max_batch_size if batched else None,
            Table.of(model, limits.columns),
            tuple(json.loads(limits.classes or "[]")),
        )

    def batch(self, positional: Sequence[Any], named: Mapping[str, Any]) -> Batch:
        """The caller's arrays, cast and checked; RequestRefused says which, what was expected, what came."""
        if self.table is not None and len(positional) == 1 and is_frame(positional[0]):
            (frame,) = positional
            return self.batch((), {**named, **self.table.tensors(frame)})._replace(index=frame.index)
        given = self._by_name(positional, named)
        arrays = {name: _lifted(_cast(value, self.inputs[name]), self.inputs[name]) for name, value in given.items()}
        if self.limit is None:
            return Batch({name: self._whole(name, array) for name, array in arrays.items()}, 1, single=False)
        single = all(array.ndim == len(self.inputs[name].shape) for name, array in arrays.items())
        stacked = {name: self._stacked(name, array, single) for name, array in arrays.items()}
        return Batch(stacked, _rows(stacked), single)

    def requests(self, batch: Batch, route_key: str | None = None) -> Iterator[ModelInfer]:
        """The batch in parts no larger than the server takes, in order."""
        names = tuple(tensor.name for tensor in self.outputs)
        if self.limit is None or batch.rows <= self.limit:
            yield ModelInfer(self.model, batch.arrays, names, route_key=route_key)
            return
        for start in range(0, batch.rows, self.limit):
            end = min(start + self.limit, batch.rows)
            part = {name: array[start:end] for name, array in batch.arrays.items()}
            yield ModelInfer(self.model, part, names, (start, end), route_key)

    def nothing(self) -> dict[str, Array]:
        """The answer to no rows: arrays of the declared types without a row."""
        shapes = {tensor: [max(size, 0) for size in tensor.shape] for tensor in self.outputs}
        return {tensor.name: np.empty((0, *shape), NUMPY_TYPES[tensor.dtype]) for tensor, shape in shapes.items()}

    def _by_name(self, positional: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
        required = [name for name in self.inputs if name not in self.optional]
        given = dict(named)
        if positional:
            unnamed = [name for name in required if name not in given]
            if len(positional) > 1 or len(unnamed) != 1:
                raise RequestRefused(f"{self.model}: expected tensors by name, {self._signature()}")
            given[unnamed[0]] = positional[0]
        for name in given.keys() - self.inputs.keys():
            raise RequestRefused(f"{name}: expected one of {self._signature()}, got no such tensor{self._guess(name)}")
        for name in required:
            if name not in given:
                raise RequestRefused(f"{name}: expected {_said(self.inputs[name])}, got nothing")
        return given

    def _whole(self, name: str, array: Array) -> Array:
        if not _matches(array.shape, self.inputs[name].shape):
            raise _refused(self.inputs[name], array)
        return array

    def _stacked(self, name: str, array: Array, single: bool) -> Array:
        stacked = array[np.newaxis] if single else array
        dims = self.inputs[name].shape
        if not single and dims == _ONE and array.ndim == 1:
            stacked = array[:, np.newaxis]  # one value a row, as ``group=floors``
        if stacked.ndim != len(dims) + 1 or not _matches(stacked.shape[1:], dims):
            raise _refused(self.inputs[name], array, ", one row or a batch of rows")
        return stacked

    def _signature(self) -> str:
        return f"{self.model}({', '.join(f'{name}={_said(tensor)}' for name, tensor in self.inputs.items())})"

    def _guess(self, name: str) -> str:
        close = difflib.get_close_matches(name, self.inputs, 1)
        return f"; did you mean {close[0]!r}?" if close else ""


def _lifted(array: Array, tensor: Tensor) -> Array:
    """A lone value is a row of it where a row holds one: ``group="lower"``."""
    return array.reshape(_ONE) if array.ndim == 0 and tuple(tensor.shape) == _ONE else array


def _per_row(tensor: Tensor, batched: bool) -> Tensor:
    return tensor._replace(shape=tensor.shape[1:]) if batched else tensor


def _matches(shape: Sequence[int], dims: Sequence[int]) -> bool:
    return len(shape) == len(dims) and all(size == dim or dim < 0 for size, dim in zip(shape, dims, strict=True))


def _rows(arrays: Mapping[str, Array]) -> int:
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise RequestRefused(f"expected as many rows in every tensor, got {counts}")
    return next(iter(counts.values()), 1)


def _cast(value: Any, tensor: Tensor) -> Array:
    """The value as a contiguous array of the declared type, where that keeps its meaning."""
    wanted = NUMPY_TYPES.get(tensor.dtype)
    if wanted is None:
        raise RequestRefused(f"{tensor.name}: {tensor.dtype} has no NumPy type, so it cannot be sent from here")
    array = _array(value, tensor)
    if array.dtype == wanted and array.dtype.kind != "O":
        return np.ascontiguousarray(array) if array.ndim else array
    if tensor.dtype == "BYTES":
        return _encoded(array, tensor)
    return _number(array, wanted, tensor)


def _array(value: Any, tensor: Tensor) -> Array:
    try:
        return np.asarray(value)
    except ValueError:
        raise RequestRefused(f"{tensor.name}: expected {_said(tensor)}, got rows of unequal length") from None


def _number(array: Array, wanted: np.dtype[Any], tensor: Tensor) -> Array:
    kinds = array.dtype.kind + wanted.kind
    if kinds in ("iu", "ui", "ii", "uu"):
        cast = array.astype(wanted)
        if not np.array_equal(cast, array):
            raise RequestRefused(f"{tensor.name}: expected {_said(tensor)}, got {array.dtype} values beyond its range")
        return cast
    if not np.can_cast(array.dtype, wanted, "same_kind"):
        raise _refused(tensor, array)
    with np.errstate(over="ignore"):  # becomes an infinity, which the server refuses by row and column
        return array.astype(wanted)


def _encoded(array: Array, tensor: Tensor) -> Array:
    """Text as UTF-8 bytes, one object an element."""
    if array.dtype.kind not in "SUO" or not all(isinstance(item, (str, bytes)) for item in array.flat):
        raise _refused(tensor, array)
    items = np.empty(array.size, dtype=object)
    items[:] = [item.encode() if isinstance(item, str) else bytes(item) for item in array.flat]
    return items.reshape(array.shape)


def _refused(tensor: Tensor, array: Array, more: str = "") -> RequestRefused:
    came = f"{triton_dtype(array)} {list(array.shape)}"
    return RequestRefused(f"{tensor.name}: expected {_said(tensor)}{more}, got {came}")


def _said(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"
