"""A scikit-learn estimator or pipeline: translated by skl2onnx to a graph of float32 rows."""

from __future__ import annotations

from typing import Any

import onnx
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import is_classifier
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor

from sextant.errors import ConversionError
from sextant_export.converters.neighbors import convert_neighbors, neighbors_shape
from sextant_export.converters.perceptron import convert_perceptron, perceptron_shape
from sextant_export.mlflow_calls import quiet_mlflow
from sextant_export.onnx_graph import NEWEST_OPSETS, corrected, renamed_outputs, with_settled_names
from sextant_export.registry import ANSWER, Artifact
from sextant_export.signature import TensorSignature

INPUT = "features"
OPSETS = {"": NEWEST_OPSETS[""], "ai.onnx.ml": 3}
_OWN = {KNeighborsRegressor: convert_neighbors, MLPRegressor: convert_perceptron}
_OWN_SHAPES = {KNeighborsRegressor: neighbors_shape, MLPRegressor: perceptron_shape}


def convert(artifact: Artifact, signature: TensorSignature) -> onnx.ModelProto:
    """
    The graph ``features`` FP32 (B, width) -> ``prediction``, and ``probabilities`` of a classifier.

    ConversionError says which estimator skl2onnx does not know.
    """
    if signature.dtype not in ("float32", "float64") or len(signature.dims) != 1 or signature.dims[0] < 1:
        came = f"{signature.dtype} {[-1, *signature.dims]}"
        raise ConversionError(f"{artifact.version}: its signature is {came}; wanted float32 [-1, width]")
    return graph_of(load(artifact), signature.dims[0])


def load(artifact: Artifact) -> Any:
    """The estimator itself; loading runs what was saved with it, so the registry must be trusted."""
    try:
        with quiet_mlflow() as mlflow:
            return mlflow.sklearn.load_model(str(artifact.path))
    except Exception as error:
        raise ConversionError(f"{artifact.version}: the estimator cannot be loaded: {error}") from error


def graph_of(estimator: Any, width: int) -> onnx.ModelProto:
    """The graph of a fitted *estimator* that takes rows of *width* numbers."""
    names = [ANSWER, "probabilities"] if is_classifier(estimator) else [ANSWER]
    try:
        model = convert_sklearn(
            estimator,
            name="sklearn",
            initial_types=[(INPUT, FloatTensorType([None, width]))],
            target_opset=OPSETS,
            options={id(estimator): {"zipmap": False}} if is_classifier(estimator) else None,
            custom_conversion_functions=_OWN,
            custom_shape_calculators=_OWN_SHAPES,
        )
    except Exception as error:
        said = str(error).strip().splitlines()[0][:300]
        raise ConversionError(f"skl2onnx cannot translate {type(estimator).__name__}: {said}") from error
    return corrected(with_settled_names(renamed_outputs(model, names)))
