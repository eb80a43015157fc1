"""The few words in which a converter of our own writes: its part of a skl2onnx graph, or a graph of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from sextant_export.onnx_graph import NEWEST_IR, NEWEST_OPSETS

OPSETS = {"": NEWEST_OPSETS[""], "ai.onnx.ml": 3}
"""What converters write: every ONNX Runtime that is served here knows these, and TensorRT the first."""


class GraphWriter(ABC):
    """Adds nodes and weights to a graph; each call gives the name of what it made."""

    def node(self, kind: str, *inputs: str, output: str | None = None, domain: str = "", **attributes: Any) -> str:
        """A node with one output."""
        name = output or self._name(kind)
        self._add(kind, inputs, [name], domain, attributes)
        return name

    def smallest(self, values: str, count: int) -> tuple[str, str]:
        """The *count* smallest of the last axis and where they stand; the first of equals wins."""
        found, places = self._name("smallest"), self._name("places")
        size = self.weight("count", np.array([count]))
        self._add("TopK", (values, size), [found, places], "", {"axis": -1, "largest": 0, "sorted": 1})
        return found, places

    def weight(self, meaning: str, array: NDArray[Any]) -> str:
        """A constant of the graph."""
        name = self._name(meaning)
        self._hold(name, numpy_helper.from_array(array, name))
        return name

    def number(self, value: float, dtype: Any = np.float32) -> str:
        """A constant of no axis."""
        return self.weight("number", np.array(value, dtype=dtype))

    def cast(self, values: str, kind: int, output: str | None = None) -> str:
        """The *values* as another type, one of ``TensorProto``'s."""
        return self.node("Cast", values, to=kind, output=output)

    @abstractmethod
    def _add(
        self, kind: str, inputs: Sequence[str], outputs: list[str], domain: str, attributes: Mapping[str, Any]
    ) -> None: ...

    @abstractmethod
    def _hold(self, name: str, weight: onnx.TensorProto) -> None: ...

    @abstractmethod
    def _name(self, meaning: str) -> str: ...


class OperatorGraph(GraphWriter):
    """The part of a skl2onnx graph that is one estimator."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def _add(
        self, kind: str, inputs: Sequence[str], outputs: list[str], domain: str, attributes: Mapping[str, Any]
    ) -> None:
        name, version = self._scope.get_unique_operator_name(kind), self._container.target_opset_any_domain(domain)
        self._container.add_node(
            kind, list(inputs), outputs, op_domain=domain, op_version=version, name=name, **attributes
        )

    def _hold(self, name: str, weight: onnx.TensorProto) -> None:
        if weight.data_type == TensorProto.STRING:
            # Of a whole tensor skl2onnx keeps the raw bytes alone, and text has none.
            self._container.add_initializer(name, TensorProto.STRING, weight.dims, list(weight.string_data))
        else:
            self._container.add_initializer(name, None, None, weight)

    def _name(self, meaning: str) -> str:
        return str(self._scope.get_unique_variable_name(meaning.lower()))


class WholeGraph(GraphWriter):
    """A graph of its own."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._count = 0

    def model(self, inputs: Mapping[str, tuple[int, int]], outputs: Mapping[str, tuple[int, int]]) -> onnx.ModelProto:
        """The finished graph; each input and output is given its type and its width."""
        graph = helper.make_graph(
            self._nodes, "sextant", _described(inputs), _described(outputs), initializer=self._weights
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=NEWEST_IR, producer_name="sextant")

    def _add(
        self, kind: str, inputs: Sequence[str], outputs: list[str], domain: str, attributes: Mapping[str, Any]
    ) -> None:
        name = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), outputs, name=name, domain=domain, **attributes))

    def _hold(self, name: str, weight: onnx.TensorProto) -> None:  # noqa: ARG002 - the weight knows its name
        self._weights.append(weight)

    def _name(self, meaning: str) -> str:
        self._count += 1
        return f"{meaning.lower()}_{self._count}"


def _described(values: Mapping[str, tuple[int, int]]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, kind, ["batch", width]) for name, (kind, width) in values.items()]


def target_width(targets: NDArray[Any]) -> int:
    """How many numbers a regressor that was fitted to *targets* answers for a row."""
    return 1 if targets.ndim == 1 else int(targets.shape[1])


def choice(graph: GraphWriter, places: str, classes: NDArray[Any], output: str | None = None) -> str:
    """The labels of *classes* that stand at *places*, of the type that the classes have."""
    kept = classes.astype(object) if classes.dtype.kind in "SUO" else _served(classes)
    return graph.node("Gather", graph.weight("classes", kept), places, output=output)


def whole_labels(classes: NDArray[Any]) -> NDArray[Any]:
    """The *classes* as skl2onnx has labels inside a graph: text, or whole numbers."""
    return classes if classes.dtype.kind in "SUO" else classes.astype(np.int64)


def _served(classes: NDArray[Any]) -> NDArray[Any]:
    return classes.astype({"f": np.float32, "b": np.bool_}.get(classes.dtype.kind, np.int64))


def label_type(classes: NDArray[Any]) -> int:
    """What ``TensorProto`` calls the type in which :func:`choice` gives labels."""
    kinds = {"f": TensorProto.FLOAT, "b": TensorProto.BOOL, "i": TensorProto.INT64, "u": TensorProto.INT64}
    return int(kinds.get(classes.dtype.kind, TensorProto.STRING))
