"""Facts read from ONNX graphs, and the corrections that let every target load them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.onnx_graph import (
    answers,
    corrected,
    graph_inputs,
    graph_outputs,
    open_session,
    renamed_outputs,
    with_free_batch,
    with_loadable_versions,
    with_settled_names,
    with_true_shapes,
)


def linear(
    *, batch: object = "n", declared: tuple = ("n", 1), opset: int = 21, ir: int = 10, kind: str = "MatMul"
) -> onnx.ModelProto:
    """y = x @ ones(3, 2), with the declarations asked for."""
    weights = onnx.numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, declared)],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir
    return model


def test_facts_are_per_row_and_leave_out_weights():
    model = linear(declared=("n", 2))
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 2]))

    assert graph_inputs(model) == (Tensor("x", "FP32", (3,)),)
    assert graph_outputs(model) == (Tensor("y", "FP32", (2,)),)


def test_a_wrong_declared_shape_is_corrected():
    """skl2onnx declares (-1, 1) for several targets; the official backend refuses such a graph."""
    model = with_true_shapes(linear(declared=("n", 1)))

    assert graph_outputs(model) == (Tensor("y", "FP32", (2,)),)


def test_a_fixed_batch_becomes_free():
    model = corrected(linear(batch=1, declared=(1, 2)))

    answer = answers(open_session(model), np.ones((5, 3), np.float32))

    assert answer["y"].tolist() == [[3.0, 3.0]] * 5


def test_a_graph_that_only_pretends_to_batch_is_refused():
    shape = onnx.numpy_helper.from_array(np.array([1, -1]), "s")
    model = linear()
    model.graph.initializer.append(shape)
    model.graph.node[0].output[0] = "z"
    model.graph.node.append(helper.make_node("Reshape", ["z", "s"], ["y"]))

    with pytest.raises(ConversionError, match=r"output 'y' of 2 and of 3 rows has shapes .* does not batch"):
        corrected(model)


def test_an_input_without_a_batch_axis_is_refused():
    model = linear()
    model.graph.input[0].type.tensor_type.shape.ClearField("dim")

    with pytest.raises(ConversionError, match=r"'x' has no batch axis"):
        with_free_batch(model)


@pytest.mark.parametrize("opset", [13, 21, 22, 23])
def test_versions_end_where_the_oldest_target_does(opset):
    model = with_loadable_versions(linear(opset=opset, ir=11))

    assert (model.ir_version, model.opset_import[0].version) == (10, min(opset, 21))
    assert graph_outputs(with_true_shapes(model)) == (Tensor("y", "FP32", (2,)),)


def test_another_operator_set_that_is_too_new_is_refused():
    model = linear()
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 6))

    with pytest.raises(ConversionError, match=r"uses ai\.onnx\.ml 6; the oldest Triton served here has 5"):
        with_loadable_versions(model)


def test_an_operator_nobody_knows_is_refused_by_name():
    with pytest.raises(ConversionError, match=r"ONNX Runtime does not load the graph: .*MatMool"):
        corrected(linear(kind="MatMool"))


def test_two_inputs_are_refused_by_name():
    model = linear()
    model.graph.input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, ["n", 1]))

    with pytest.raises(ConversionError, match=r"takes 2 tensors \(x, extra\)"):
        with_true_shapes(model)


def test_outputs_are_renamed_wherever_they_stand():
    model = renamed_outputs(linear(), ["prediction"])

    answer = answers(open_session(model), np.ones((1, 3), np.float32))

    assert list(answer) == ["prediction"]


def test_settled_names_do_not_depend_on_what_they_were():
    one, other = linear(), linear()
    other.graph.initializer[0].name = other.graph.node[0].input[1] = "norm_140360853916240"
    other.graph.node[0].name = "drawn"

    assert with_settled_names(one).SerializeToString() == with_settled_names(other).SerializeToString()
    assert open_session(one).get_inputs()[0].name == "x"


def test_rows_are_cast_to_what_the_graph_takes():
    session = open_session(with_true_shapes(linear()))

    assert answers(session, np.ones((2, 3), np.float64))["y"].dtype == np.float32


def test_rows_the_graph_cannot_take_are_refused():
    session = open_session(with_true_shapes(linear()))

    with pytest.raises(ConversionError, match=r"the graph fails on 2 rows"):
        answers(session, np.ones((2, 4), np.float32))


def test_a_free_inner_axis_stays_free():
    model = linear(declared=("n", "m"))
    model.graph.node[0].op_type = "Identity"
    del model.graph.node[0].input[1]
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "m"

    assert graph_inputs(with_free_batch(model)) == (Tensor("x", "FP32", (-1,)),)
