"""A graph in the making, and the values in it: arithmetic reads as it does in NumPy, and leaves nodes behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from sextant.tensors import NUMPY_TYPES, Tensor
from sextant_export.converters.graph_writer import WholeGraph
from sextant_export.onnx_graph import NEWEST_IR
from sextant_export.onnx_graph.facts import DTYPES
from sextant_export.onnx_graph.scopes import rename

OPSETS: Mapping[str, int] = {"": 18, "ai.onnx.ml": 2}
"""The least that is written here: axes as an input, and encoders that turn text into numbers."""

_KINDS: Mapping[Any, int] = {NUMPY_TYPES[word]: kind for kind, word in DTYPES.items()}


class Value:
    """
    A tensor of a graph: its *name* there, and its NumPy type.

    An operator adds a node to the graph; numbers beside it become constants of its own type.
    """

    __slots__ = ("dtype", "graph", "name")

    def __init__(self, graph: FusedGraph, name: str, dtype: Any) -> None:
        self.graph, self.name, self.dtype = graph, name, np.dtype(dtype)

    def apply(self, kind: str, *others: Any, dtype: Any = None, **attributes: Any) -> Value:
        """The node *kind* of this and *others*; of this type, unless *dtype* says another."""
        inputs = [self.like(other).name for other in others]
        return Value(self.graph, self.graph.node(kind, self.name, *inputs, **attributes), dtype or self.dtype)

    def like(self, other: Any) -> Value:
        """*other*, a value already, or a constant of this type."""
        return other if isinstance(other, Value) else self.graph.constant(np.asarray(other, dtype=self.dtype))

    def __add__(self, other: Any) -> Value:
        return self.apply("Add", other)

    def __sub__(self, other: Any) -> Value:
        return self.apply("Sub", other)

    def __mul__(self, other: Any) -> Value:
        return self.apply("Mul", other)

    def __truediv__(self, other: Any) -> Value:
        return self.apply("Div", other)

    def __pow__(self, other: Any) -> Value:
        return self.apply("Pow", other)

    def __matmul__(self, other: Any) -> Value:
        return self.apply("MatMul", other)

    def __neg__(self) -> Value:
        return self.apply("Neg")

    def __abs__(self) -> Value:
        return self.apply("Abs")

    def __lt__(self, other: Any) -> Value:
        return self.apply("Less", other, dtype=np.bool_)

    def __le__(self, other: Any) -> Value:
        return self.apply("LessOrEqual", other, dtype=np.bool_)

    def __gt__(self, other: Any) -> Value:
        return self.apply("Greater", other, dtype=np.bool_)

    def __ge__(self, other: Any) -> Value:
        return self.apply("GreaterOrEqual", other, dtype=np.bool_)

    def __and__(self, other: Any) -> Value:
        return self.apply("And", other)

    def __or__(self, other: Any) -> Value:
        return self.apply("Or", other)

    def __invert__(self) -> Value:
        return self.apply("Not")

    def equals(self, other: Any) -> Value:
        """Where this is *other*."""
        return self.apply("Equal", other, dtype=np.bool_)

    def sqrt(self) -> Value:
        """The square root."""
        return self.apply("Sqrt")

    def cast(self, dtype: Any) -> Value:
        """The same as another type."""
        wanted = np.dtype(dtype)
        return self if wanted == self.dtype else self.apply("Cast", dtype=wanted, to=_KINDS[wanted])

    def reshape(self, *shape: int) -> Value:
        """The same in another shape; 0 keeps a dimension, and the batch is the first."""
        return self.apply("Reshape", self.graph.constant(np.array(shape)))

    def split(self, *sizes: int) -> list[Value]:
        """Parts of the last axis, of these *sizes*."""
        names = self.graph.parts(self.name, sizes)
        return [Value(self.graph, name, self.dtype) for name in names]

    def columns(self, count: int) -> list[Value]:
        """The *count* columns of the last axis, each one wide."""
        return self.split(*[1] * count)

    def total(self) -> Value:
        """The sum of each row of two axes, ``(B, 1)``."""
        return self._over_columns("ReduceSum")

    def least(self) -> Value:
        """The smallest of each row of two axes, ``(B, 1)``."""
        return self._over_columns("ReduceMin")

    def most(self) -> Value:
        """The largest of each row of two axes, ``(B, 1)``."""
        return self._over_columns("ReduceMax")

    def all(self) -> Value:
        """For each row of two axes whether all of it is true, ``(B, 1)``."""
        return self.cast(np.float32).least().cast(np.bool_)

    def any(self) -> Value:
        """For each row of two axes whether any of it is true, ``(B, 1)``."""
        return self.cast(np.float32).most().cast(np.bool_)

    def _over_columns(self, kind: str) -> Value:
        return self.apply(kind, self.graph.constant(np.array([1])))


class FusedGraph(WholeGraph):
    """A graph that grows step by step; *opsets* are the operator sets that its nodes are of."""

    def __init__(self) -> None:
        super().__init__()
        self.opsets = dict(OPSETS)
        self._sparse: list[onnx.SparseTensorProto] = []

    def constant(self, array: NDArray[Any]) -> Value:
        """A constant of the graph."""
        return Value(self, self.weight("constant", array), array.dtype)

    def parts(self, values: str, sizes: Sequence[int]) -> list[str]:
        """The names of the parts of the last axis of *values*."""
        names = [self._name("part") for _ in sizes]
        self._add("Split", [values, self.weight("sizes", np.array(sizes))], names, "", {"axis": -1})
        return names

    def take(self, graph: onnx.GraphProto) -> None:
        """All nodes and weights of another graph; nothing in it may be called as something here is."""
        self._nodes.extend(graph.node)
        self._weights.extend(graph.initializer)
        self._sparse.extend(graph.sparse_initializer)

    def finished(
        self, inputs: Sequence[Tensor], outputs: Mapping[str, Value], dims: Mapping[str, tuple[int, ...]]
    ) -> onnx.ModelProto:
        """The model that takes *inputs* and gives *outputs*, by name, with their *dims* of one row."""
        given = [_described(tensor.name, _KINDS[tensor.numpy_type], tensor.dims) for tensor in inputs]
        own = [self.node("Identity", value.name) for value in outputs.values()]
        graph = helper.make_graph(self._nodes, "sextant", given, [], initializer=self._weights)
        graph.sparse_initializer.extend(self._sparse)
        rename(graph, dict(zip(own, outputs, strict=True)))
        graph.output.extend(_described(name, _KINDS[value.dtype], dims[name]) for name, value in outputs.items())
        opsets = [helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=NEWEST_IR, producer_name="sextant")

    def _name(self, meaning: str) -> str:  # noqa: ARG002 - numbers are shorter, and nobody reads them
        """A name that no tensor of a pipeline or of a member's graph has: those begin with something."""
        self._count += 1
        return f":{self._count}"


def concat(values: Sequence[Value], axis: int = -1) -> Value:
    """*values* of one type, side by side."""
    first, *others = values
    return first.apply("Concat", *others, axis=axis) if others else first


def where(condition: Value, one: Value, other: Any) -> Value:
    """*one* where *condition* holds, else *other*."""
    return condition.apply("Where", one, one.like(other), dtype=one.dtype)


def _described(name: str, kind: int, dims: Sequence[int]) -> onnx.ValueInfoProto:
    """A tensor with its *dims* of one row; of one that is open nothing is said, for the graph may know more."""
    return helper.make_tensor_value_info(name, kind, ["batch", *(size if size >= 0 else None for size in dims)])
