"""ONNX graphs that teams log themselves: weights beside them, a fixed batch, doubles, ZipMap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from .configuration import Configuration, Fitted, few
from .data import bundled

OPSET = 17


def _onnx(data: str, model: str, fit: Callable[[], tuple[Any, Any, Any]], **facts: Any) -> Configuration:
    """*fit* gives a graph, an example and, for the signature, the answer."""

    def fitted() -> Fitted:
        graph, example, answer = fit()
        shown = example is not None
        return Fitted(lambda mlflow, **given: mlflow.onnx.log_model(graph, **given), example, answer, shown)

    return Configuration("onnx", data, model, fitted, **facts)


def _perceptron(rows: str, kind: type[np.floating[Any]], batch: int | str) -> onnx.ModelProto:
    """Seeded weights over *data*; those above a kilobyte MLflow lays beside the graph."""
    random = np.random.default_rng(3)
    width = bundled(rows).x.shape[1]
    word = "float" if kind is np.float32 else "double"
    tensors = f"({word}[{batch}, {width}] x) => ({word}[{batch}, 2] y)"
    graph = onnx.parser.parse_graph(f"net {tensors} {{ a = MatMul(x, w) b = Tanh(a) y = MatMul(b, v) }}")
    scale = 1 / (bundled(rows).array.std(axis=0)[:, None] + 1e-3)
    for name, weights in {"w": scale * random.normal(size=(width, 200)) / 8, "v": random.normal(size=(200, 2))}.items():
        graph.initializer.append(onnx.numpy_helper.from_array(weights.astype(kind), name))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    model.ir_version = 9
    return model


def _beside() -> tuple[Any, Any, Any]:
    return _perceptron("digits", np.float32, "n"), few(bundled("digits").array), np.zeros((48, 2), np.float32)


def _one_row() -> tuple[Any, Any, Any]:
    return _perceptron("iris", np.float32, 1), bundled("iris").array[:1], np.zeros((1, 2), np.float32)


def _doubles() -> tuple[Any, Any, Any]:
    return _perceptron("wine", np.float64, "n"), few(bundled("wine").x.to_numpy()), np.zeros((48, 2))


def _zipped() -> tuple[Any, Any, Any]:
    """What skl2onnx gives a classifier by default: a list of dicts."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    rows = bundled("iris")
    model = to_onnx(LogisticRegression(max_iter=2000).fit(rows.array, rows.y), rows.array[:1], target_opset=OPSET)
    return model, few(rows.array), None


def _unsigned() -> tuple[Any, Any, Any]:
    """No signature and no example: the graph alone says what it takes."""
    return _perceptron("diabetes", np.float32, "n"), None, None


CONFIGURATIONS = (
    _onnx("digits", "perceptron, weights beside the graph", _beside, quick=True),
    _onnx("iris", "perceptron, batch of 1 declared", _one_row),
    _onnx("wine", "perceptron of doubles", _doubles),
    _onnx("iris", "LogisticRegression with ZipMap", _zipped),
    _onnx("diabetes", "perceptron, no signature, no example", _unsigned),
)
