"""
A scikit-learn estimator or pipeline, translated by skl2onnx where it is exact and by Sextant where it is not.

Rows of numbers are one ``features`` FP32; columns that are text, or that a ColumnTransformer selects by name, stay
apart, each of its own type.  An estimator of XGBoost or LightGBM may be a step, or all of it.
"""

from __future__ import annotations

from typing import Any

import onnx

from sextant.columns import Column
from sextant.errors import ConversionError
from sextant_export.converters.sklearn_graph import METHODS, translated
from sextant_export.converters.sklearn_inputs import inputs_of, needs_wide_rows
from sextant_export.converters.tabular import gives_probabilities, loaded, native
from sextant_export.original import Original
from sextant_export.registry import Artifact
from sextant_export.signature import MATRIX, Signature


def convert(artifact: Artifact, signature: Signature | None) -> onnx.ModelProto:
    """
    The graph of its inputs -> ``prediction``, and ``probabilities`` of a classifier that has them.

    ``ConversionError`` says which estimator has no translation, or which column no operator reads.
    """
    if signature is None:
        raise ConversionError(
            f"{artifact.version}: it was logged without a signature: log the model with "
            "signature=mlflow.models.infer_signature(inputs, outputs)"
        )
    estimator = _load(artifact)
    inputs = inputs_of(estimator, signature, wide=needs_wide_rows(estimator))
    return translated(estimator, inputs, _method(artifact))


def original(artifact: Artifact) -> Original:
    """What the estimator itself answers, and the probabilities of a classifier."""
    estimator, method = _load(artifact), _method(artifact)
    both = method == "predict" and gives_probabilities(estimator)
    return native(artifact, estimator, method, probabilities=both)


def graph_of(estimator: Any, width: int) -> onnx.ModelProto:
    """The graph of a fitted *estimator* that takes rows of *width* numbers."""
    rows = Column(name=MATRIX, tensor=MATRIX, type="float32", dims=(width,))
    return translated(estimator, inputs_of(estimator, Signature(form="array", inputs=(rows,)), wide=False))


def _load(artifact: Artifact) -> Any:
    """The estimator; what was searched for is answered by the best that was found."""
    estimator = loaded(artifact, lambda mlflow, path: mlflow.sklearn.load_model(path))
    return getattr(estimator, "best_estimator_", estimator)


def _method(artifact: Artifact) -> str:
    method = str(artifact.flavors.get("python_function", {}).get("predict_fn", "predict"))
    if method not in METHODS:
        raise ConversionError(
            f"{artifact.version}: it answers with {method}, and a graph can with {', '.join(METHODS)}: "
            "log it with one of them as pyfunc_predict_fn, or serve it with `flavor: python_function`"
        )
    return method
