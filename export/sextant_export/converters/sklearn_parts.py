"""
The estimators that Sextant translates itself inside a skl2onnx graph, each for a reason that its module gives.

Others are skl2onnx's own, and some of those only work in float32: in a graph of float64 they are put between casts,
which is what scikit-learn does with its trees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter, update_registered_parser
from skl2onnx.common._registration import get_converter
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, guess_proto_type
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn import ensemble, neural_network, svm, tree
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import SimpleImputer
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import FunctionTransformer, Normalizer

from sextant_export.converters.boosted import Boosted, same, write_answer, write_labels
from sextant_export.converters.calibration import calibrated_shape, convert_calibrated
from sextant_export.converters.forests import read_forest
from sextant_export.converters.gaussian import convert_gaussian_classifier
from sextant_export.converters.graph_writer import OperatorGraph, whole_labels
from sextant_export.converters.histogram import read_histogram
from sextant_export.converters.isolation import convert_isolation
from sextant_export.converters.neighbors import convert_neighbors, convert_neighbors_classifier, neighbors_shape
from sextant_export.converters.perceptron import convert_perceptron, perceptron_shape
from sextant_export.converters.selection import parse_selection
from sextant_export.converters.steps import (
    convert_function,
    convert_imputer,
    convert_normalizer,
    convert_target,
    function_shape,
    imputer_shape,
    target_shape,
)

Converter: TypeAlias = Callable[[Any, Any, Any], None]
_CLASSIFIER_OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True]}

FORESTS = (
    *(tree.DecisionTreeClassifier, tree.DecisionTreeRegressor, tree.ExtraTreeClassifier, tree.ExtraTreeRegressor),
    *(ensemble.RandomForestClassifier, ensemble.RandomForestRegressor),
    *(ensemble.ExtraTreesClassifier, ensemble.ExtraTreesRegressor),
)
_GRADIENT = (ensemble.GradientBoostingClassifier, ensemble.GradientBoostingRegressor)
TREES = (*FORESTS, *_GRADIENT, ensemble.IsolationForest)
_NARROW = (
    *_GRADIENT,
    *(ensemble.AdaBoostClassifier, ensemble.AdaBoostRegressor, neural_network.MLPClassifier),
    *(svm.SVC, svm.SVR, svm.NuSVC, svm.NuSVR, svm.OneClassSVM),
)
HISTOGRAMS = (ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor)


def narrowed(scope: Any, operator: Any, container: Any) -> None:
    """skl2onnx's own nodes for the estimator, in float32 whatever the graph around them is in."""
    graph, own = OperatorGraph(scope, container), get_converter(operator.type)
    taken, given = operator.inputs[0], operator.outputs[-1]
    if isinstance(taken.type, DoubleTensorType):
        narrow = scope.declare_local_variable("narrow", FloatTensorType(taken.type.shape))
        graph.cast(taken.full_name, TensorProto.FLOAT, output=narrow.full_name)
        operator.inputs.set_element(0, narrow)
    if not isinstance(given.type, DoubleTensorType):
        own(scope, operator, container)
        return
    answer = scope.declare_local_variable("answer", FloatTensorType(given.type.shape))
    operator.outputs.set_element(len(operator.outputs) - 1, answer)
    own(scope, operator, container)
    graph.cast(answer.full_name, TensorProto.DOUBLE, output=given.full_name)


def boosted_converter(read: Callable[[Any], Boosted]) -> Converter:
    """The converter of estimators that *read* reads."""

    def convert(scope: Any, operator: Any, container: Any) -> None:
        graph, model = OperatorGraph(scope, container), read(operator.raw_operator)
        rows, given = operator.inputs[0].full_name, operator.outputs
        kind = guess_proto_type(given[-1].type)
        if model.classes is None:
            graph.cast(write_answer(graph, rows, model), kind, output=given[0].full_name)
            return
        labels = (given[0].full_name, None)
        model = replace(model, classes=whole_labels(model.classes))
        if _asks_for_scores(container, operator.raw_operator):
            model = replace(model, link=same)
        _, chances = write_labels(graph, rows, model, labels, column=False)
        graph.cast(chances, kind, output=given[1].full_name)

    return convert


def _asks_for_scores(container: Any, model: Any) -> bool:
    option = "raw_scores"
    return bool(container.has_options(model, option) and container.get_options(model, {option: False})[option])


def convert_forest(scope: Any, operator: Any, container: Any) -> None:
    """A tree or a forest; one of several labels a row is left to skl2onnx."""
    model = operator.raw_operator
    several = model.n_outputs_ > 1 and hasattr(model, "classes_")
    (narrowed if several else boosted_converter(read_forest))(scope, operator, container)


def boosted_shape(read: Callable[[Any], Boosted]) -> Callable[[Any], None]:
    """The output of one row of regressors that *read* reads."""

    def shape(operator: Any) -> None:
        operator.outputs[0].type.shape = [None, read(operator.raw_operator).targets]

    return shape


def convert_votes(scope: Any, operator: Any, container: Any) -> None:
    """A VotingClassifier, of which skl2onnx refuses what only its transform heeds, and weights in a list."""
    model = copy(operator.raw_operator)
    model.flatten_transform = False
    if model.weights is not None:
        model.weights = np.asarray(model._weights_not_none, dtype=np.float64)  # noqa: SLF001 - those not dropped
    operator.raw_operator = model
    get_converter(operator.type)(scope, operator, container)


def register() -> None:
    """Tell skl2onnx of what it has no name for, as far as it is installed, and of what it misreads."""
    # skl2onnx forbids the map of a classifier inside a nested pipeline by an option that this one lacks.
    get_converter("SklearnLinearSVC").get_allowed_options().setdefault("zipmap", [False])
    update_registered_converter(TransformedTargetRegressor, "SextantTransformedTarget", target_shape, convert_target)
    update_registered_parser(ColumnTransformer, parse_selection)
    if find_spec("xgboost"):
        import xgboost

        from sextant_export.converters import xgboost_model

        _register(xgboost_model.read_estimator, xgboost, ("XGB", "XGBRF"))
    if find_spec("lightgbm"):
        import lightgbm

        from sextant_export.converters import lightgbm_model

        _register(lightgbm_model.read_estimator, lightgbm, ("LGBM",))


def _register(read: Callable[[Any], Boosted], package: Any, prefixes: tuple[str, ...]) -> None:
    for prefix in prefixes:
        name, convert = f"{prefix}Classifier", boosted_converter(read)
        update_registered_converter(
            *(getattr(package, name), f"Sextant{name}", calculate_linear_classifier_output_shapes, convert),
            options=_CLASSIFIER_OPTIONS,
        )
        name = f"{prefix}Regressor"
        update_registered_converter(getattr(package, name), f"Sextant{name}", boosted_shape(read), convert)


CONVERTERS: Mapping[type, Converter] = {
    **dict.fromkeys(_NARROW, narrowed),
    **dict.fromkeys(FORESTS, convert_forest),
    **dict.fromkeys(HISTOGRAMS, boosted_converter(read_histogram)),
    ensemble.IsolationForest: convert_isolation,
    CalibratedClassifierCV: convert_calibrated,
    GaussianProcessClassifier: convert_gaussian_classifier,
    KNeighborsClassifier: convert_neighbors_classifier,
    KNeighborsRegressor: convert_neighbors,
    SimpleImputer: convert_imputer,
    Normalizer: convert_normalizer,
    FunctionTransformer: convert_function,
    neural_network.MLPRegressor: convert_perceptron,
    ensemble.VotingClassifier: convert_votes,
}
SHAPES: Mapping[type, Callable[[Any], None]] = {
    **dict.fromkeys(FORESTS[1::2], boosted_shape(read_forest)),
    CalibratedClassifierCV: calibrated_shape,
    SimpleImputer: imputer_shape,
    FunctionTransformer: function_shape,
    KNeighborsRegressor: neighbors_shape,
    neural_network.MLPRegressor: perceptron_shape,
}
