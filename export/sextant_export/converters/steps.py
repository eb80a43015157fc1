"""Steps of a pipeline that skl2onnx refuses, or cuts short: missing values filled, and plain NumPy functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common._registration import get_converter
from skl2onnx.common.data_types import StringTensorType, guess_proto_type, guess_tensor_type
from sklearn.impute import KNNImputer
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sextant.errors import ConversionError
from sextant_export.converters.graph_writer import GraphWriter, OperatorGraph

REFUSED: Mapping[type, str] = MappingProxyType(
    {KNNImputer: "a KNNImputer is not known, as skl2onnx's graph of it fails on missing values: use a SimpleImputer"}
)
"""What is refused before skl2onnx is asked, with why."""

Step = Callable[[GraphWriter, str, int], str]


def imputer_shape(operator: Any) -> None:
    """As many columns as were ever filled, and one for each that says where a value was missing."""
    taken, model = operator.inputs[0].type, operator.raw_operator
    width = len(_kept(model)) + len(_marked(model))
    kind = StringTensorType if isinstance(taken, StringTensorType) else guess_tensor_type(taken).__class__
    operator.outputs[0].type = kind([None, width])


def convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    """A SimpleImputer of numbers, and of text; a text that is served is never missing."""
    model, graph = operator.raw_operator, OperatorGraph(scope, container)
    rows, output = operator.inputs[0], operator.outputs[0].full_name
    if isinstance(rows.type, StringTensorType):
        if isinstance(model.missing_values, str):
            get_converter(operator.type)(scope, operator, container)
        else:
            graph.node("Identity", rows.full_name, output=output)
        return
    kind = guess_proto_type(operator.outputs[0].type)
    values = graph.cast(rows.full_name, kind)
    absent = _absent(graph, values, model.missing_values, kind)
    kept = graph.weight("kept", _kept(model))
    filler = graph.weight("filler", model.statistics_[_kept(model)].astype(_numpy(kind))[None])
    picked = (graph.node("Gather", each, kept, axis=1) for each in (absent, values))
    filled = graph.node("Where", next(picked), filler, next(picked))
    marks = graph.cast(graph.node("Gather", absent, graph.weight("marked", _marked(model)), axis=1), kind)
    graph.node("Concat", filled, marks, axis=1, output=output)


def convert_normalizer(scope: Any, operator: Any, container: Any) -> None:
    """A Normalizer: each row by its length, and a row without length as it is, where skl2onnx divides by zero."""
    graph, kind = OperatorGraph(scope, container), guess_proto_type(operator.outputs[0].type)
    rows = graph.cast(operator.inputs[0].full_name, kind)
    length = graph.node(_LENGTHS[operator.raw_operator.norm], graph.node("Abs", rows), graph.weight("axis", _COLUMNS))
    nothing = graph.number(10 * float(np.finfo(_numpy(kind)).eps), _numpy(kind))
    divisor = graph.node("Where", graph.node("Less", length, nothing), _one(graph, kind), length)
    graph.node("Div", rows, divisor, output=operator.outputs[0].full_name)


_LENGTHS: Mapping[str, str] = MappingProxyType({"l1": "ReduceSum", "l2": "ReduceL2", "max": "ReduceMax"})
_COLUMNS = np.array([1])


def _absent(graph: GraphWriter, values: str, missing: Any, kind: int) -> str:
    if missing is None or missing != missing:  # noqa: PLR0124 - NaN alone is not itself
        return graph.node("IsNaN", values)
    return graph.node("Equal", values, graph.number(missing, _numpy(kind)))


def _kept(model: Any) -> Any:
    """The places of the columns that stay: one that never held a value is dropped, unless it is kept as zeros."""
    statistics = model.statistics_
    gone = np.array([value is None or value != value for value in statistics])  # noqa: PLR0124 - as above
    return np.flatnonzero(~gone)


def _marked(model: Any) -> Any:
    indicator = getattr(model, "indicator_", None)
    return np.zeros(0, dtype=np.int64) if indicator is None else np.asarray(indicator.features_, dtype=np.int64)


def _numpy(kind: int) -> Any:
    return np.float64 if kind == TensorProto.DOUBLE else np.float32


def _one(graph: GraphWriter, kind: int) -> str:
    return graph.number(1.0, _numpy(kind))


FUNCTIONS: Mapping[Any, Step] = MappingProxyType(
    {
        np.log: lambda graph, x, _: graph.node("Log", x),
        np.log1p: lambda graph, x, kind: graph.node("Log", graph.node("Add", x, _one(graph, kind))),
        np.exp: lambda graph, x, _: graph.node("Exp", x),
        np.expm1: lambda graph, x, kind: graph.node("Sub", graph.node("Exp", x), _one(graph, kind)),
        np.sqrt: lambda graph, x, _: graph.node("Sqrt", x),
        np.square: lambda graph, x, _: graph.node("Mul", x, x),
        np.abs: lambda graph, x, _: graph.node("Abs", x),
        np.sin: lambda graph, x, _: graph.node("Sin", x),
        np.cos: lambda graph, x, _: graph.node("Cos", x),
        np.tanh: lambda graph, x, _: graph.node("Tanh", x),
        None: lambda graph, x, _: graph.node("Identity", x),
    }
)
"""What a graph can do in the place of a NumPy function."""


def convert_function(scope: Any, operator: Any, container: Any) -> None:
    """A FunctionTransformer of one of :data:`FUNCTIONS`."""
    model, rows, output = operator.raw_operator, operator.inputs, operator.outputs[0]
    if len(rows) != 1 or model.func is None:
        get_converter(operator.type)(scope, operator, container)
        return
    graph, kind = OperatorGraph(scope, container), guess_proto_type(output.type)
    values = graph.cast(rows[0].full_name, kind)
    graph.cast(_function(model)(graph, values, kind), kind, output=output.full_name)


def function_shape(operator: Any) -> None:
    """As wide as what is taken."""
    widths = [taken.type.shape[1] for taken in operator.inputs]
    operator.outputs[0].type.shape = [None, None if None in widths else sum(widths)]


def _function(model: Any) -> Step:
    if model.func not in FUNCTIONS or model.kw_args:
        name = getattr(model.func, "__name__", str(model.func))
        known = ", ".join(f"np.{function.__name__}" for function in FUNCTIONS if function)
        raise ConversionError(f"a FunctionTransformer of {name} is not known: known are {known}")
    return FUNCTIONS[model.func]


def target_shape(operator: Any) -> None:
    """As many numbers as the regressor inside was trained on."""
    width = getattr(operator.raw_operator, "_training_dim", 1)
    operator.outputs[0].type.shape = [None, width if width == 1 else None]


def convert_target(scope: Any, operator: Any, container: Any) -> None:
    """A TransformedTargetRegressor: its regressor, and what undoes the change of its target."""
    model, output = operator.raw_operator, operator.outputs[0]
    inner = scope.declare_local_operator(sklearn_operator_name_map[type(model.regressor_)], model.regressor_)
    answer = scope.declare_local_variable("changed", output.type.__class__())
    inner.inputs.append(operator.inputs[0])
    inner.outputs.append(answer)
    graph, kind = OperatorGraph(scope, container), guess_proto_type(output.type)
    undone = _undone(model.transformer_, graph, answer.full_name, kind)
    graph.cast(undone, kind, output=output.full_name)


def _undone(change: Any, graph: GraphWriter, values: str, kind: int) -> str:
    if isinstance(change, FunctionTransformer) and change.inverse_func in FUNCTIONS:
        return FUNCTIONS[change.inverse_func](graph, values, kind)
    if isinstance(change, StandardScaler):
        scale = np.ones(1) if change.scale_ is None else change.scale_
        mean = np.zeros(1) if change.mean_ is None else change.mean_
        scaled = graph.node("Mul", values, graph.weight("scale", scale.astype(_numpy(kind))))
        return graph.node("Add", scaled, graph.weight("mean", mean.astype(_numpy(kind))))
    raise ConversionError(
        f"a TransformedTargetRegressor that undoes {type(change).__name__} is not known: use a StandardScaler, or "
        f"an inverse_func of {', '.join(f'np.{function.__name__}' for function in FUNCTIONS if function)}"
    )
