"""
k nearest neighbours as a graph that is both exact and fast.

skl2onnx measures all distances in 32 bits, where near neighbours trade places and a distance weight is off
by metres.  Here one matrix product in 32 bits finds more candidates than are needed, and only their
distances are measured, in 64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx.common.data_types import guess_proto_type, guess_tensor_type
from skl2onnx.operator_converters.nearest_neighbours import (
    convert_nearest_neighbors_classifier,
    convert_nearest_neighbors_regressor,
)

from sextant_export.converters.graph_writer import GraphWriter, OperatorGraph, choice, target_width, whole_labels

SPARE = 32


def neighbors_shape(operator: Any) -> None:
    """The output of one row: as many numbers as a target has."""
    kind = guess_tensor_type(operator.inputs[0].type).__class__
    operator.outputs[0].type = kind([None, target_width(np.asarray(operator.raw_operator._y))])  # noqa: SLF001


def convert_neighbors(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a fitted KNeighborsRegressor; skl2onnx keeps what is not Euclidean."""
    model = operator.raw_operator
    if model.effective_metric_ != "euclidean" or model.weights not in ("uniform", "distance"):
        convert_nearest_neighbors_regressor(scope, operator, container)
        return
    graph, rows = OperatorGraph(scope, container), operator.inputs[0].full_name
    squares, nearest = _nearest(graph, rows, _candidates(graph, rows, model), model)
    targets = np.asarray(model._y, dtype=np.float64)  # noqa: SLF001 - scikit-learn keeps its rows there alone
    targets = targets.reshape(len(targets), -1)
    values = graph.node("Gather", graph.weight("targets", targets), nearest, axis=0)
    answer = _mean(graph, values, squares, model.weights)
    graph.cast(answer, guess_proto_type(operator.outputs[0].type), output=operator.outputs[0].full_name)


def convert_neighbors_classifier(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a fitted KNeighborsClassifier of one label a row; skl2onnx keeps the rest."""
    model = operator.raw_operator
    single = isinstance(model.classes_, np.ndarray)
    if not single or model.effective_metric_ != "euclidean" or model.weights not in ("uniform", "distance"):
        convert_nearest_neighbors_classifier(scope, operator, container)
        return
    graph, rows = OperatorGraph(scope, container), operator.inputs[0].full_name
    squares, nearest = _nearest(graph, rows, _candidates(graph, rows, model), model)
    votes = np.eye(len(model.classes_))[np.asarray(model._y).reshape(-1)]  # noqa: SLF001 - as above
    values = graph.node("Gather", graph.weight("votes", votes), nearest, axis=0)
    shares = _mean(graph, values, squares, model.weights)
    graph.cast(shares, guess_proto_type(operator.outputs[1].type), output=operator.outputs[1].full_name)
    places = graph.node("ArgMax", shares, axis=1, keepdims=0)
    choice(graph, places, whole_labels(model.classes_), output=operator.outputs[0].full_name)


def _candidates(graph: GraphWriter, rows: str, model: Any) -> str:
    """The places of the nearest training rows and some more, by ``|t|^2 - 2 x.t`` in 32 bits."""
    training = np.asarray(model._fit_X, dtype=np.float64)  # noqa: SLF001 - as above
    mean = training.mean(axis=0)
    centred = training - mean
    doubled = graph.weight("doubled", np.ascontiguousarray(-2 * centred.T, dtype=np.float32))
    norms = graph.weight("norms", (centred**2).sum(axis=1).astype(np.float32))
    row = graph.node("Sub", graph.cast(rows, TensorProto.FLOAT), graph.weight("mean", mean.astype(np.float32)))
    ranking = graph.node("Add", graph.node("MatMul", row, doubled), norms)
    return graph.smallest(ranking, min(len(training), model.n_neighbors + SPARE))[1]


def _nearest(graph: GraphWriter, rows: str, candidates: str, model: Any) -> tuple[str, str]:
    """The squared distances (B, k) of the nearest, in 64 bits, and their places in the training rows."""
    training = graph.weight("training", np.asarray(model._fit_X))  # noqa: SLF001 - as above
    near = graph.node("Gather", training, candidates, axis=0)
    row = graph.node("Unsqueeze", rows, graph.weight("axis", np.array([1])))
    wide = [graph.cast(name, TensorProto.DOUBLE) for name in (near, row)]
    last = graph.weight("last", np.array([2]))
    squares = graph.node("ReduceSumSquare", graph.node("Sub", *wide), last, keepdims=0)
    smallest, places = graph.smallest(squares, model.n_neighbors)
    return smallest, graph.node("GatherElements", candidates, places, axis=1)


def _mean(graph: GraphWriter, values: str, squares: str, weights: str) -> str:
    """The mean of *values* (B, k, K) over neighbours; one at no distance leaves no weight to others."""
    middle = graph.weight("middle", np.array([1]))
    if weights == "uniform":
        return graph.node("ReduceMean", values, middle, keepdims=0)
    zero, last = graph.weight("zero", np.array([0.0])), graph.weight("last", np.array([-1]))
    same = graph.cast(graph.node("Equal", squares, zero), TensorProto.DOUBLE)
    any_same = graph.cast(graph.node("ReduceMax", same, middle, keepdims=1), TensorProto.BOOL)
    inverse = graph.node("Reciprocal", graph.node("Sqrt", squares))
    weight = graph.node("Unsqueeze", graph.node("Where", any_same, same, inverse), last)
    total = graph.node("ReduceSum", graph.node("Mul", values, weight), middle, keepdims=0)
    return graph.node("Div", total, graph.node("ReduceSum", weight, middle, keepdims=0))
