"""
scikit-learn's trees and forests, with where they send missing values, which skl2onnx forgets.

scikit-learn compares a float32 row with a float64 threshold, and averages the values of the leaves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
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
    ensemble = Ensemble(trees=trees, base=np.zeros(targets), width=width, average=True)

    def scores(graph: GraphWriter, rows: str) -> str:
        return write_scores(graph, graph.cast(rows, TensorProto.FLOAT), ensemble)

    return Boosted(scores=scores, link=same, width=width, targets=targets, classes=classes)


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
