"""
An isolation forest: how soon a row is alone, summed in float64 and with where missing values go.

skl2onnx adds depths in float32 and takes every missing value to the right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx.common.data_types import guess_proto_type

from sextant_export.converters.ensembles import LEAF, Ensemble, Tree, write_scores
from sextant_export.converters.forests import read_tree
from sextant_export.converters.graph_writer import OperatorGraph


def convert_isolation(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a fitted IsolationForest: 1 of what is as the others are, -1 of what is not, and its score."""
    model, graph = operator.raw_operator, OperatorGraph(scope, container)
    trees = [_tree(part.tree_, places) for part, places in zip(model.estimators_, model.estimators_features_)]  # noqa: B905
    ensemble = Ensemble(trees=trees, base=np.zeros(1), width=model.n_features_in_, wide=True)
    narrow = graph.cast(operator.inputs[0].full_name, TensorProto.FLOAT)
    depth = write_scores(graph, narrow, ensemble)
    longest = len(trees) * float(_expected_depth(np.array([model.max_samples_]))[0])
    # The score is compared as a depth: 2 ** (-depth / longest) is over -offset where the depth is under this.
    early = graph.node("Less", depth, graph.number(-longest * np.log2(-model.offset_)))
    odd = graph.node("Mul", graph.cast(early, TensorProto.INT64), graph.number(-2, np.int64))
    label = graph.node("Add", odd, graph.number(1, np.int64))
    graph.node("Identity", label, output=operator.outputs[0].full_name)
    share = graph.node("Pow", graph.number(2.0), graph.node("Div", depth, graph.number(-longest)))
    score = graph.node("Sub", graph.node("Neg", share), graph.number(model.offset_))
    graph.cast(score, guess_proto_type(operator.outputs[1].type), output=operator.outputs[1].full_name)


def _tree(tree: Any, places: Any) -> Tree:
    """How deep each leaf lies, and how much deeper its training rows would have been split on."""
    grown = read_tree(tree)
    inner = grown.feature != LEAF
    feature = grown.feature.copy()
    feature[inner] = np.asarray(places)[feature[inner]]
    value = tree.compute_node_depths() - 1 + _expected_depth(tree.n_node_samples)
    return Tree(
        feature=feature,
        threshold=grown.threshold,
        left=grown.left,
        right=grown.right,
        missing_left=grown.missing_left,
        value=value,
    )


def _expected_depth(rows: Any) -> Any:
    """The mean depth at which one of so many *rows* is alone."""
    many = np.maximum(np.asarray(rows, dtype=np.float64), 3)
    mean = 2 * (np.log(many - 1) + np.euler_gamma) - 2 * (many - 1) / many
    return np.select([rows <= 1, rows == 2], [0.0, 1.0], mean)
