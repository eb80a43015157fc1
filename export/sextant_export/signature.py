"""What a registered model takes and gives, per its MLflow signature: one array, tensors by name, or a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sextant.columns import NUMBERS, TYPES, Column, encode, tensor_names
from sextant.predictions import asked, split
from sextant.tensors import Tensor

Feed = Mapping[str, NDArray[Any]]
"""Rows of tensors, by Triton's name of the tensor; the first axis is the batch."""
Arrays = Mapping[str, NDArray[Any]]
"""Answers, in the same form."""

MATRIX = "features"
ANSWER = "prediction"
_ADVICE = "log the model with signature=mlflow.models.infer_signature(inputs, outputs)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """
    The *inputs* and *outputs* of a model; *form* is how it wants the inputs.

    ``array``: one array without a name. ``tensors``: arrays by name. ``columns``: a table.
    """

    form: str
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...] = ()

    @classmethod
    def of(cls, signature: Any) -> Signature:
        """An MLflow signature in our words; ValueError says what to log instead."""
        if signature is None or signature.inputs is None:
            raise ValueError(f"it was logged without a signature: {_ADVICE}")
        inputs = _columns(signature.inputs, MATRIX)
        outputs = _columns(signature.outputs, ANSWER, inputs) if signature.outputs is not None else ()
        return cls(form=_form(signature.inputs), inputs=inputs, outputs=outputs)

    @classmethod
    def of_tensors(cls, tensors: Sequence[Tensor]) -> Signature:
        """The signature of a graph that was logged without one: its own inputs, by name."""
        inputs = tuple(
            Column(name=tensor.name, tensor=tensor.name, type=_numpy_name(tensor), dims=tensor.dims)
            for tensor in tensors
        )
        return cls(form="tensors", inputs=inputs)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """One tensor for each input."""
        return tuple(column.served for column in self.inputs)

    @property
    def matrix(self) -> Tensor | None:
        """The one FP32 tensor of rows that a table of numbers, or an array of one axis, is; else None."""
        if self.form == "columns":
            numbers = all(column.type in NUMBERS and column.required for column in self.inputs)
            return Tensor(MATRIX, "FP32", (len(self.inputs),)) if numbers else None
        (column, *others) = self.inputs
        one = not others and len(column.dims) == 1 and column.served.dtype != "BYTES"
        return Tensor(column.tensor, "FP32", column.dims) if one else None

    def asked(self, feed: Feed) -> Any:
        """What the model's own predict wants for *feed*: an array, arrays by name, or a DataFrame."""
        if self.form == "columns" and not feed.keys() & {column.tensor for column in self.inputs}:
            (matrix,) = feed.values()
            return asked(self.form, self.inputs, split(matrix, self.inputs))
        return asked(self.form, self.inputs, feed)

    def feed(self, example: Any, inputs: Sequence[Tensor]) -> Feed:
        """A logged *example* as rows of the tensors *inputs*; ValueError where it does not hold them."""
        apart = self._apart(example)
        if {tensor.name for tensor in inputs} & apart.keys() or len(inputs) != 1:
            return {tensor.name: apart[tensor.name] for tensor in inputs if tensor.name in apart}
        (matrix,) = inputs
        joined = np.concatenate([array.reshape(len(array), -1) for array in apart.values()], axis=1)
        return {matrix.name: joined.astype(matrix.numpy_type).reshape(len(joined), *_open(matrix.dims, joined))}

    def to_dict(self) -> dict[str, Any]:
        """As the receipt keeps it, and as the client reads it."""
        return {
            "form": self.form,
            "inputs": [column.to_dict() for column in self.inputs],
            "outputs": [column.to_dict() for column in self.outputs],
        }

    def _apart(self, example: Any) -> dict[str, NDArray[Any]]:
        """Each input's own rows of *example*."""
        if self.form == "array" or (len(self.inputs) == 1 and isinstance(example, np.ndarray)):
            (column,) = self.inputs
            return {column.tensor: _typed(np.asarray(example), column)}
        if self.form == "tensors":
            return {c.tensor: _typed(np.asarray(example[c.name]), c) for c in self.inputs if c.name in example}
        return {c.tensor: encode(_listed(example[c.name]), c.type) for c in self.inputs if c.name in example}


def _form(schema: Any) -> str:
    if not schema.is_tensor_spec():
        return "columns"
    return "array" if len(schema.inputs) == 1 and schema.inputs[0].name is None else "tensors"


def _columns(schema: Any, unnamed: str, beside: Sequence[Column] = ()) -> tuple[Column, ...]:
    """
    The columns of one side, their tensors named otherwise than those of the other, *beside* it.

    Of an ensemble's output that is called as an input is, Triton gives the input.
    """
    names = [str(unnamed if spec.name is None else spec.name) for spec in schema.inputs]
    describe = _tensor if schema.is_tensor_spec() else _column
    tensors = tensor_names([*(column.tensor for column in beside), *names])[len(beside) :]
    return tuple(map(describe, schema.inputs, names, tensors))


def _tensor(spec: Any, name: str, tensor: str) -> Column:
    dtype, shape = np.dtype(spec.type), tuple(int(size) for size in spec.shape)
    if not shape:
        raise ValueError(f"its tensor {name!r} has no batch axis: log the model with arrays whose first axis is rows")
    return Column(name=name, tensor=tensor, type="string" if dtype.kind in "SUO" else dtype.name, dims=shape[1:])


def _column(spec: Any, name: str, tensor: str) -> Column:
    """Array, Object, Map and AnyType have no tensor type of their own: they travel as JSON."""
    word = getattr(spec.type, "name", "json")
    return Column(name=name, tensor=tensor, type=word if word in TYPES else "json", required=bool(spec.required))


def _numpy_name(tensor: Tensor) -> str:
    return "string" if tensor.dtype == "BYTES" else tensor.numpy_type.name


def _typed(array: NDArray[Any], column: Column) -> NDArray[Any]:
    if column.type == "string":
        return _words(array).reshape(len(array), *_open(column.dims, array))
    return array.astype(column.served.numpy_type, copy=False).reshape(len(array), *_open(column.dims, array))


def _words(array: NDArray[Any]) -> NDArray[Any]:
    words = np.empty(array.size, dtype=object)
    words[:] = [item.decode() if isinstance(item, bytes) else str(item) for item in array.reshape(-1)]
    return words


def _listed(values: Any) -> Any:
    return values.tolist() if getattr(values, "dtype", np.dtype(bool)).kind == "O" else values


def _open(dims: tuple[int, ...], array: NDArray[Any]) -> tuple[int, ...]:
    """*dims* with what is open in them taken from *array*."""
    if dims.count(-1) <= 1:
        return dims
    return tuple(int(size) for size in array.shape[1:])
