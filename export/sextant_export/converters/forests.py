"""
scikit-learn's trees and forests, with where they send missing values, which skl2onnx forgets.

scikit-learn compares a float32 row with a float64 threshold, and averages the values of the leaves in float64, where
a graph sums them in float32: leaves that are far from zero are summed by their distance from their middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from sextant.errors import ConversionError
from sextant_export.converters.boosted import Boosted, same
from sextant_export.converters.ensembles import LEAF, Ensemble, Tree, write_scores
from sextant_export.converters.graph_writer import GraphWriter


def read_forest(model: Any) -> Boosted:
    """A fitted decision tree, or a forest of them: a regressor, or a classifier of one label a row."""
    grown = [each.tree_ for each in getattr(model, "estimators_", [model])]
    classes = getattr(model, "classes_", None)
    if classes is not None and len(classes) == 1:
        raise ConversionError(f"{type(model).__name__} was trained on one class: there is nothing to decide")
    targets = model.n_outputs_ if classes is None else len(classes)
    trees, width = [read_tree(tree) for tree in grown], model.n_features_in_
    middle = _middle(trees)
    near = [replace(tree, value=tree.value - middle) for tree in trees]
    ensemble = Ensemble(trees=near, base=np.zeros(targets), width=width)

    def scores(graph: GraphWriter, rows: str) -> str:
        total = write_scores(graph, graph.cast(rows, TensorProto.FLOAT), ensemble)
        count = graph.number(len(trees), np.float64)
        mean = graph.node("Div", graph.cast(total, TensorProto.DOUBLE), count)
        return graph.node("Add", mean, graph.weight("middle", middle)) if middle.any() else mean

    return Boosted(scores=scores, link=same, width=width, targets=targets, classes=classes)


def _middle(trees: Sequence[Tree]) -> NDArray[np.float64]:
    """For each target the middle of its leaves where they are nearer to each other than to zero, else zero."""
    leaves = np.concatenate([tree.value[tree.feature == LEAF] for tree in trees])
    low, high = leaves.min(axis=0), leaves.max(axis=0)
    far = np.minimum(abs(low), abs(high)) > high - low
    return np.where(far, (low + high) / 2, 0.0)


def read_tree(tree: Any) -> Tree:
    """The ``tree_`` of a fitted estimator, its values one row a node."""
    nodes = tree.__getstate__()["nodes"]
    leaf = nodes["left_child"] == LEAF
    return Tree(
        feature=np.where(leaf, LEAF, nodes["feature"]).astype(np.int64),
        threshold=np.where(leaf, 0.0, nodes["threshold"]),
        left=nodes["left_child"].astype(np.int64),
        right=nodes["right_child"].astype(np.int64),
        missing_left=_missing_left(nodes),
        value=tree.value.reshape(len(nodes), -1),
    )


def _missing_left(nodes: Any) -> Any:
    known = "missing_go_to_left" in nodes.dtype.names
    return nodes["missing_go_to_left"].astype(bool) if known else np.zeros(len(nodes), dtype=bool)
