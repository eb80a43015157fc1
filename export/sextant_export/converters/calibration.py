"""
Calibrated classifiers, each map from score to probability in float64.

skl2onnx gives an isotonic map the probability of the nearest of its points, where scikit-learn draws a line between
two of them, and of a pipeline it maps the probabilities, where scikit-learn maps the scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
    guess_proto_type,
)
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline

from sextant.errors import ConversionError
from sextant_export.converters.graph_writer import GraphWriter, OperatorGraph, choice, whole_labels

_METHODS = ("sigmoid", "isotonic")


def convert_calibrated(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a fitted CalibratedClassifierCV: the mean of what each of its classifiers says."""
    model, graph = operator.raw_operator, OperatorGraph(scope, container)
    if model.method not in _METHODS:
        raise ConversionError(
            f"a CalibratedClassifierCV of {model.method} is not known: fit it with {' or '.join(_METHODS)}"
        )
    labels, chances = operator.outputs
    each = []
    for part in model.calibrated_classifiers_:
        scores = graph.cast(_scores(scope, operator, container, part.estimator), TensorProto.DOUBLE)
        each.append(_chances(graph, scores, part))
    mean = graph.node("Div", graph.node("Sum", *each), graph.number(len(each), np.float64))
    places = graph.node("ArgMax", mean, axis=1, keepdims=0)
    choice(graph, places, whole_labels(model.classes_), output=labels.full_name)
    graph.cast(mean, guess_proto_type(chances.type), output=chances.full_name)


def calibrated_shape(operator: Any) -> None:
    """A label and as many probabilities as classes of a row, however many columns it came in."""
    labels, chances = operator.outputs
    labels.type = _label_type(operator.raw_operator)([None])
    chances.type.shape = [None, len(operator.raw_operator.classes_)]


def _label_type(model: Any) -> Any:
    return StringTensorType if whole_labels(model.classes_).dtype.kind in "SUO" else Int64TensorType


def _scores(scope: Any, operator: Any, container: Any, estimator: Any) -> str:
    """What the map of each class is asked about: the classifier's decision where it has one, else its probabilities."""
    if isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    if hasattr(estimator, "decision_function"):
        _ask_for_scores(scope, container, estimator)
    inner = scope.declare_local_operator(sklearn_operator_name_map[type(estimator)], estimator)
    for taken in operator.inputs:
        inner.inputs.append(taken)
    wide = any(isinstance(taken.type, DoubleTensorType) for taken in operator.inputs)
    scores = scope.declare_local_variable("scores", DoubleTensorType() if wide else FloatTensorType())
    inner.outputs.append(scope.declare_local_variable("label", _label_type(estimator)()))
    inner.outputs.append(scores)
    return str(scores.full_name)


def _ask_for_scores(scope: Any, container: Any, estimator: Any) -> None:
    """Have *estimator*, and what decides in it, say its scores in the place of its probabilities."""
    if not container.has_options(estimator, "raw_scores"):
        raise ConversionError(
            f"a CalibratedClassifierCV of the scores of a {type(estimator).__name__} is not known: calibrate an "
            "estimator without decision_function, or serve the model with `flavor: python_function`"
        )
    for known in (scope, container):
        known.add_options(id(estimator), {"raw_scores": True})
    inside = [estimator.steps[-1][1]] if isinstance(estimator, Pipeline) else []
    if isinstance(estimator, OneVsRestClassifier):
        inside = estimator.estimators_
    for part in inside:
        _ask_for_scores(scope, container, part)


def _chances(graph: GraphWriter, scores: str, part: Any) -> str:
    """The probabilities (B, classes) in float64 of one classifier that gives *scores*."""
    count = len(part.classes)
    if len(part.estimator.classes_) < count:
        raise ConversionError(
            "a CalibratedClassifierCV with a part that has not seen every class is not known: fit it with folds that "
            "each hold all classes"
        )
    if count == 2:
        chance = _mapped(graph, _column(graph, scores, -1), part.calibrators[0])
        return graph.node("Concat", graph.node("Sub", graph.number(1.0, np.float64), chance), chance, axis=1)
    mapped = [_mapped(graph, _column(graph, scores, place), one) for place, one in enumerate(part.calibrators)]
    joined = graph.node("Concat", *mapped, axis=1)
    total = graph.node("ReduceSum", joined, graph.weight("axis", np.array([1])), keepdims=1)
    none = graph.node("Equal", total, graph.number(0.0, np.float64))
    return graph.node("Where", none, graph.number(1 / count, np.float64), graph.node("Div", joined, total))


def _column(graph: GraphWriter, scores: str, place: int) -> str:
    return graph.node("Gather", scores, graph.weight("place", np.array([place])), axis=1)


def _mapped(graph: GraphWriter, scores: str, calibrator: Any) -> str:
    """The probabilities (B, 1) that *calibrator* makes of *scores* (B, 1)."""
    if isinstance(calibrator, IsotonicRegression):
        return _on_the_line(graph, scores, calibrator)
    steep = graph.node("Mul", scores, graph.number(calibrator.a_, np.float64))
    odds = graph.node("Exp", graph.node("Add", steep, graph.number(calibrator.b_, np.float64)))
    return graph.node("Reciprocal", graph.node("Add", odds, graph.number(1.0, np.float64)))


def _on_the_line(graph: GraphWriter, scores: str, calibrator: Any) -> str:
    """The height of the line between the two points that a score lies between; the ends go on level."""
    x, y = (np.asarray(each, dtype=np.float64) for each in (calibrator.X_thresholds_, calibrator.y_thresholds_))
    if len(x) == 1:
        x, y = np.append(x, x + 1), np.append(y, y)
    bounds = (graph.number(edge, np.float64) for edge in (x[0], x[-1]))
    score = graph.node("Clip", scores, *bounds)
    passed = graph.cast(graph.node("GreaterOrEqual", score, graph.weight("points", x[:-1])), TensorProto.INT64)
    count = graph.node("ReduceSum", passed, graph.weight("axis", np.array([1])), keepdims=1)
    place = graph.node("Sub", count, graph.number(1, np.int64))
    start, height, slope = (
        graph.node("Gather", graph.weight("line", each), place) for each in (x[:-1], y[:-1], np.diff(y) / np.diff(x))
    )
    return graph.node("Add", height, graph.node("Mul", graph.node("Sub", score, start), slope))
