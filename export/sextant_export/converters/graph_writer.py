"""The few words in which a converter of our own writes its part of a skl2onnx graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper


class GraphWriter:
    """Adds nodes and weights to the graph of one operator; each call gives the name of what it made."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """A node with one output."""
        name = output or self._name(kind)
        self._add(kind, inputs, [name], attributes)
        return name

    def smallest(self, values: str, count: int) -> tuple[str, str]:
        """The *count* smallest of the last axis and where they stand; the first of equals wins."""
        found, places = self._name("smallest"), self._name("places")
        size = self.weight("count", np.array([count]))
        self._add("TopK", (values, size), [found, places], {"axis": -1, "largest": 0, "sorted": 1})
        return found, places

    def weight(self, meaning: str, array: NDArray[Any]) -> str:
        """A constant of the graph."""
        name = self._name(meaning)
        self._container.add_initializer(name, None, None, numpy_helper.from_array(array, name))
        return name

    def _add(self, kind: str, inputs: tuple[str, ...], outputs: list[str], attributes: dict[str, Any]) -> None:
        name, version = self._scope.get_unique_operator_name(kind), self._container.target_opset
        self._container.add_node(kind, list(inputs), outputs, name=name, op_version=version, **attributes)

    def _name(self, meaning: str) -> str:
        return str(self._scope.get_unique_variable_name(meaning.lower()))


def target_width(targets: NDArray[Any]) -> int:
    """How many numbers a regressor that was fitted to *targets* answers for a row."""
    return 1 if targets.ndim == 1 else int(targets.shape[1])
