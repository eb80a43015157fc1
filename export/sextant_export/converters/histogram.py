"""
scikit-learn's histogram gradient boosting, its thresholds compared in float64 as they are there.

skl2onnx rounds them to float32, so that a row beside a threshold takes the other side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sextant.errors import ConversionError
from sextant_export.converters.boosted import Boosted, Step, exponential, same, sigmoid, softmax
from sextant_export.converters.ensembles import LEAF, Ensemble, Tree, write_scores
from sextant_export.converters.graph_writer import GraphWriter


def read_histogram(model: Any) -> Boosted:
    """A fitted HistGradientBoostingClassifier or -Regressor; ConversionError where it splits by categories."""
    if model.is_categorical_ is not None:
        raise ConversionError(
            f"{type(model).__name__} with categorical_features is not known: put an OrdinalEncoder or OneHotEncoder "
            "before it, or serve it with `flavor: python_function`"
        )
    base = np.asarray(model._baseline_prediction, dtype=np.float64).reshape(-1)  # noqa: SLF001 - kept there alone
    trees = list(_trees(model))
    ensemble = Ensemble(trees=trees, base=base, width=model.n_features_in_, wide=True)

    def scores(graph: GraphWriter, rows: str) -> str:
        return write_scores(graph, rows, ensemble)

    return Boosted(
        scores=scores,
        link=_link(model, len(base)),
        width=model.n_features_in_,
        targets=len(base),
        classes=getattr(model, "classes_", None),
        by_score=True,
    )


def _link(model: Any, targets: int) -> Step:
    if hasattr(model, "classes_"):
        return softmax if targets > 1 else sigmoid()
    return exponential if model.loss in {"poisson", "gamma"} else same


def _trees(model: Any) -> Iterator[Tree]:
    for trees in model._predictors:  # noqa: SLF001 - as above
        for target, predictor in enumerate(trees):
            nodes = predictor.nodes
            yield Tree(
                feature=np.where(nodes["is_leaf"], LEAF, nodes["feature_idx"]).astype(np.int64),
                threshold=nodes["num_threshold"].astype(np.float64),
                left=nodes["left"].astype(np.int64),
                right=nodes["right"].astype(np.int64),
                missing_left=nodes["missing_go_to_left"].astype(bool),
                value=nodes["value"].astype(np.float64),
                target=target,
            )
