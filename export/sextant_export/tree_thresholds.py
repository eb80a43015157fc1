"""
Where the trees of a graph split, in the units of its own inputs.

A tree reads a tensor that is made of the inputs; here the way back is followed through what leaves a column a column:
casts, reshapes, joins, picks, and a scale and a shift.  What cannot be followed has no thresholds to place a row on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, takewhile
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from sextant_export.edge_rows import Thresholds


class Affine(NamedTuple):
    """``scale * column + shift``, of a *column* of the input *tensor*."""

    tensor: str
    column: int
    scale: float = 1.0
    shift: float = 0.0

    def then(self, scale: float, shift: float) -> Affine:
        """Scaled and shifted again."""
        return self._replace(scale=self.scale * scale, shift=self.shift * scale + shift)


TREES = "TreeEnsemble"
_SPLITS = ("nodes_values", "nodes_values_as_tensor", "nodes_splits")
Columns: TypeAlias = "tuple[Affine | None, ...]"
"""What each column of a tensor is made of; None where that is more than one column, or something else."""


def thresholds(model: onnx.ModelProto) -> Thresholds:
    """
    The values at which the trees of *model* split, by input and column.

    Empty for a graph without trees, and for columns that are mixed before a tree sees them.
    """
    trees = any(node.op_type.startswith(TREES) for node in model.graph.node)
    return _Trace(model).thresholds() if trees else {}


class _Trace:
    """What each tensor of a graph is made of, worked out node by node."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self._nodes = graph.node
        self._constants = {w.name: w for w in graph.initializer if not w.external_data}
        weights = {weight.name for weight in graph.initializer}
        inputs = [value for value in graph.input if value.name not in weights]
        self._columns: dict[str, Columns] = {value.name: _own_columns(value) for value in inputs}

    def thresholds(self) -> dict[tuple[str, int], NDArray[np.float64]]:
        found: dict[tuple[str, int], set[float]] = {}
        for node in self._nodes:
            self._follow(node)
            for made_of, value in self._splits(node):
                found.setdefault((made_of.tensor, made_of.column), set()).add((value - made_of.shift) / made_of.scale)
        return {key: np.array(sorted(values)) for key, values in found.items()}

    def _follow(self, node: onnx.NodeProto) -> None:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            self._constants[node.output[0]] = node.attribute[0].t
        follow = _FOLLOWED.get(node.op_type)
        columns = follow(self, node) if follow else None
        if columns:
            self._columns[node.output[0]] = columns

    def _splits(self, node: onnx.NodeProto) -> Iterator[tuple[Affine, float]]:
        """What each branch of a tree node asks, and where it splits."""
        if not node.op_type.startswith(TREES) or node.input[0] not in self._columns:
            return
        columns, given = self._columns[node.input[0]], _attributes(node)
        values = next((given[name] for name in _SPLITS if name in given), ())
        for place, value, mode in zip(given["nodes_featureids"], values, given["nodes_modes"], strict=False):
            made_of = columns[place] if place < len(columns) else None
            if mode != b"LEAF" and made_of is not None and made_of.scale and np.isfinite(value):
                yield made_of, float(value)

    def of(self, name: str) -> Columns | None:
        return self._columns.get(name)

    def constant(self, name: str) -> NDArray[Any] | None:
        weight = self._constants.get(name)
        return None if weight is None else numpy_helper.to_array(weight)

    def same(self, node: onnx.NodeProto) -> Columns | None:
        """The first input, as it is: missing values are filled, types change, nothing else."""
        return self.of(node.input[0])

    def joined(self, node: onnx.NodeProto) -> Columns | None:
        """Side by side, as far as each part is known."""
        parts = takewhile(bool, (self.of(name) for name in node.input))
        return tuple(chain.from_iterable(part for part in parts if part))

    def scaled(self, node: onnx.NodeProto) -> Columns | None:
        """``(x - offset) * scale``."""
        columns, given = self.of(node.input[0]), _attributes(node)
        if not columns:
            return None
        scale, offset = (_widened(given[name], len(columns)) for name in ("scale", "offset"))
        return _each(columns, scale, -offset * scale)

    def calculated(self, node: onnx.NodeProto) -> Columns | None:
        """A sum, difference, product or quotient with a constant."""
        columns, constant = self.of(node.input[0]), self.constant(node.input[1])
        if columns is None and node.op_type in ("Add", "Mul"):
            columns, constant = self.of(node.input[1]), self.constant(node.input[0])
        if not columns or constant is None or constant.size not in (1, len(columns)):
            return None
        number = _widened(constant.reshape(-1), len(columns))
        one, none = np.ones(len(columns)), np.zeros(len(columns))
        with np.errstate(divide="ignore"):
            scale, shift = {
                "Add": (one, number),
                "Sub": (one, -number),
                "Mul": (number, none),
                "Div": (1 / number, none),
            }[node.op_type]
        return _each(columns, scale, shift)

    def picked(self, node: onnx.NodeProto) -> Columns | None:
        """Some of the columns, by their places."""
        columns, places = self.of(node.input[0]), self.constant(node.input[1])
        axis = _attributes(node).get("axis", 0) if node.op_type == "Gather" else 1
        if not columns or places is None or axis not in (1, -1):
            return None
        return tuple(columns[int(place)] for place in places.reshape(-1))


_FOLLOWED: Mapping[str, Callable[[_Trace, onnx.NodeProto], Columns | None]] = MappingProxyType(
    dict.fromkeys(("Cast", "Identity", "Reshape", "Flatten", "Imputer"), _Trace.same)
    | dict.fromkeys(("Concat", "FeatureVectorizer"), _Trace.joined)
    | dict.fromkeys(("Add", "Sub", "Mul", "Div"), _Trace.calculated)
    | dict.fromkeys(("ArrayFeatureExtractor", "Gather"), _Trace.picked)
    | {"Scaler": _Trace.scaled}
)


def _own_columns(value: onnx.ValueInfoProto) -> Columns:
    """Those of rows of numbers; what has more axes is no table."""
    dims = value.type.tensor_type.shape.dim
    return tuple(Affine(value.name, column) for column in range(dims[1].dim_value)) if len(dims) == 2 else ()


def _each(columns: Columns, scale: NDArray[Any], shift: NDArray[Any]) -> Columns:
    return tuple(c and c.then(float(a), float(b)) for c, a, b in zip(columns, scale, shift, strict=True))


def _widened(numbers: Sequence[float] | NDArray[Any], width: int) -> NDArray[np.float64]:
    """One number for all columns, or one for each."""
    return np.broadcast_to(np.asarray(numbers, dtype=np.float64), (width,))


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    values = ((attribute.name, onnx.helper.get_attribute_value(attribute)) for attribute in node.attribute)
    return {n: numpy_helper.to_array(v).tolist() if isinstance(v, onnx.TensorProto) else v for n, v in values}
