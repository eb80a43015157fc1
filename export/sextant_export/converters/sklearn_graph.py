"""skl2onnx asked for a graph, in float64 where float32 would be felt, and fitted to what is served."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn, supported_converters
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common._registration import get_converter
from sklearn.pipeline import Pipeline

from sextant.errors import ConversionError
from sextant_export.converters.boosted import PROBABILITIES
from sextant_export.converters.graph_writer import OPSETS
from sextant_export.converters.sklearn_inputs import Taken, needs_wide_sums, parts
from sextant_export.converters.sklearn_parts import CONVERTERS, SHAPES, register
from sextant_export.converters.steps import REFUSED
from sextant_export.converters.tabular import gives_probabilities
from sextant_export.onnx_graph import open_session, with_settled_names
from sextant_export.onnx_graph.scopes import rename
from sextant_export.original import first_line
from sextant_export.signature import ANSWER

METHODS = ("predict", "predict_proba", "transform")
"""What a registered estimator may answer with: ``pyfunc_predict_fn`` of MLflow's ``log_model``."""
# ONNX Runtime lowers text by en_US.UTF-8, which few containers have.
_WANTED = {"zipmap": False, "locale": "C.UTF-8"}
_NUMBERS = {TensorProto.FLOAT, TensorProto.DOUBLE}


def translated(estimator: Any, inputs: Sequence[Taken], method: str = "predict") -> onnx.ModelProto:
    """
    The graph of a fitted *estimator* that takes *inputs* and answers with *method*.

    Numbers are float64 between input and answer where :func:`needs_wide_sums`, and where columns of several types
    meet, as in scikit-learn; where an operator inside has no float64 all are float32.  The answer is float32, unless
    rows came as float64.  ``ConversionError`` says what skl2onnx does not know.
    """
    register()
    for part in parts(estimator):
        if type(part) in REFUSED:
            raise ConversionError(f"{REFUSED[type(part)]}, or serve the model with `flavor: python_function`")
    wide = TensorProto.DOUBLE if len(inputs) > 1 or needs_wide_sums(estimator) else TensorProto.FLOAT
    kinds = list(dict.fromkeys((wide, TensorProto.FLOAT, TensorProto.DOUBLE)))
    model, kind = _first_of(estimator, inputs, kinds)
    return with_settled_names(_answering(_taking(model, inputs, kind), estimator, inputs, method))


def _first_of(estimator: Any, inputs: Sequence[Taken], kinds: Sequence[int]) -> tuple[onnx.ModelProto, int]:
    """The graph in the first of *kinds* of numbers in which there is one; else the refusal of the first."""
    kind, *others = kinds
    try:
        return _asked(estimator, inputs, kind), kind
    except ConversionError:
        if not others:
            raise
        with suppress(ConversionError):
            return _first_of(estimator, inputs, others)
        raise


def _asked(estimator: Any, inputs: Sequence[Taken], kind: int) -> onnx.ModelProto:
    """skl2onnx's graph with numbers of *kind*, which ONNX Runtime loads."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = convert_sklearn(
                estimator,
                name="sklearn",
                initial_types=[(taken.name, taken.inside(kind)) for taken in inputs],
                target_opset=OPSETS,
                options=_options(estimator),
                custom_conversion_functions=CONVERTERS,
                custom_shape_calculators=SHAPES,
            )
    except ConversionError:
        raise
    except Exception as error:
        raise ConversionError(
            f"skl2onnx cannot translate {type(estimator).__name__}: {first_line(error).rstrip('.')}; "
            "serve it by its own Python with `flavor: python_function`"
        ) from error
    if kind == TensorProto.DOUBLE:
        open_session(model)
    return model


def _options(estimator: Any) -> dict[int, dict[str, Any]]:
    """No map of probabilities from any step that would make one, and lower case as every Linux has it."""
    known = {id(part): _known_options(part) for part in parts(estimator) if not isinstance(part, Pipeline)}
    return {part: {name: value for name, value in _WANTED.items() if name in names} for part, names in known.items()}


def _known_options(part: Any) -> Any:
    alias = sklearn_operator_name_map.get(type(part))
    return (get_converter(alias).get_allowed_options() or {}) if alias in supported_converters() else {}


def _taking(model: onnx.ModelProto, inputs: Sequence[Taken], kind: int) -> onnx.ModelProto:
    """The graph that takes what is served, under its name and of its type."""
    graph = model.graph
    inside = {taken.name: value.name for taken, value in zip(inputs, graph.input, strict=True)}
    rename(graph, {name: f"inside {name}" for name in inside.values()})
    casts = []
    for taken in inputs:
        wanted = TensorProto.STRING if taken.kind == TensorProto.STRING else kind
        given = f"inside {inside[taken.name]}"
        operator = ("Identity", {}) if wanted == taken.kind else ("Cast", {"to": wanted})
        casts.append(helper.make_node(operator[0], [taken.tensor], [given], **operator[1]))
    nodes = [*casts, *graph.node]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.extend(helper.make_tensor_value_info(t.tensor, t.kind, [None, t.width]) for t in inputs)
    return model


def _answering(model: onnx.ModelProto, estimator: Any, inputs: Sequence[Taken], method: str) -> onnx.ModelProto:
    """The graph that answers what the estimator's own methods do, of their types."""
    graph = model.graph
    number = TensorProto.DOUBLE if [taken.kind for taken in inputs] == [TensorProto.DOUBLE] else TensorProto.FLOAT
    first, *others = [(f"inside {value.name}", value.type.tensor_type.elem_type) for value in graph.output]
    rename(graph, {value.name: f"inside {value.name}" for value in graph.output})
    if method == "predict" and first[1] not in _NUMBERS and _decides_once(estimator):
        first = (_column(graph, first[0]), first[1])
    answers = [(ANSWER, first[0], number if first[1] in _NUMBERS else _label_kind(estimator, first[1]))]
    if method == "predict_proba":
        answers = [(ANSWER, others[0][0], number)]
    elif others and gives_probabilities(estimator):
        answers.append((PROBABILITIES, others[0][0], number))
    del graph.output[:]
    for name, inner, kind in answers:
        operator, attributes = ("Identity", {}) if kind == TensorProto.STRING else ("Cast", {"to": kind})
        graph.node.append(helper.make_node(operator, [inner], [name], **attributes))
        graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return model


def _decides_once(estimator: Any) -> bool:
    return not isinstance(getattr(estimator, "classes_", None), list) and not getattr(estimator, "multilabel_", False)


def _column(graph: onnx.GraphProto, labels: str) -> str:
    """The *labels* (B, 1): skl2onnx has them as (B,), (B, 1) or (1, B)."""
    graph.initializer.append(numpy_helper.from_array(np.array([-1, 1]), "inside column shape"))
    graph.node.append(helper.make_node("Reshape", [labels, "inside column shape"], ["inside column"]))
    return "inside column"


def _label_kind(estimator: Any, given: int) -> int:
    """The type of a label: skl2onnx gives whole numbers or text, and classes may be truths and floats as well."""
    classes = getattr(estimator, "classes_", ())
    kinds = {np.asarray(each).dtype.kind for each in (classes if isinstance(classes, list) else [classes])}
    if given != TensorProto.INT64 or not kinds <= {"f", "b"} or not np.size(classes):
        return given
    return int(TensorProto.BOOL if kinds == {"b"} else TensorProto.FLOAT)
