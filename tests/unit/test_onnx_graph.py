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
    noted,
    open_session,
    renamed_outputs,
    with_free_batch,
    with_loadable_versions,
    with_settled_names,
    with_true_shapes,
)
from sextant_export.onnx_graph.oldest import MICROSOFT
from sextant_export.onnx_graph.operators import is_known

PARSED = "<ir_version: 10, opset_import: ['' : 21, 'ai.onnx.ml' : 3, 'com.microsoft' : 1]>"


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


def parsed(text: str, opset: int = 21) -> onnx.ModelProto:
    """The graph that *text* spells."""
    domains = f'"" : {opset}, "ai.onnx.ml" : 3, "com.microsoft" : 1'
    return onnx.parser.parse_model(f"<ir_version: 10, opset_import: [{domains}]> {text}")


def asked(model: onnx.ModelProto, **feed: object) -> dict[str, np.ndarray]:
    return answers(open_session(model), {name: np.asarray(rows) for name, rows in feed.items()})


def test_facts_are_per_row_and_leave_out_weights():
    model = linear(declared=("n", 2))
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 2]))

    assert graph_inputs(model) == (Tensor("x", "FP32", (3,)),)
    assert graph_outputs(model) == (Tensor("y", "FP32", (2,)),)


def test_a_type_that_triton_does_not_know_is_refused():
    model = parsed("g (bfloat16[n, 2] x) => (bfloat16[n, 2] y) { y = Identity(x) }")

    with pytest.raises(ConversionError, match=r"'x' is no tensor that Triton knows: .*export the model with float32"):
        graph_inputs(model)


def test_a_wrong_declared_shape_is_corrected():
    """skl2onnx declares (-1, 1) for several targets; the official backend refuses such a graph."""
    model = with_true_shapes(linear(declared=("n", 1)))

    assert graph_outputs(model) == (Tensor("y", "FP32", (2,)),)


@pytest.mark.parametrize("declared", ["float[n]", "float[1]", "float[n, 1]", "float[1, 1]"])
def test_one_number_a_row_has_no_axis_of_its_own(declared):
    model = corrected(
        parsed(
            f"g (float[n, 3] x) => ({declared} y) <int64[1] axis = {{1}}> {{ y = ReduceSum <keepdims = 0> (x, axis) }}"
        )
    )

    assert graph_outputs(model) == (Tensor("y", "FP32", ()),)
    assert asked(model, x=np.ones((2, 3), np.float32))["y"].tolist() == [3.0, 3.0]


def test_a_graph_that_only_pretends_to_batch_is_refused():
    model = parsed("g (float[n, 3] x) => (float[n, 3] y) <int64[2] s = {1, -1}> { y = Reshape(x, s) }")

    with pytest.raises(ConversionError, match=r"output 'y' of 1, 2 and 3 rows has shapes \(1, 3\), \(1, 6\), .* batch"):
        corrected(model)


def test_an_answer_that_loses_the_axis_of_a_single_row_is_refused():
    model = parsed("g (float[n, 3, 1] x) => (float[n, 3] y) { y = Squeeze(x) }")

    with pytest.raises(ConversionError, match=r"output 'y' of 1, 2 and 3 rows has shapes \(3,\), \(2, 3\), \(3, 3\)"):
        corrected(model)


def test_an_input_without_a_batch_axis_is_refused():
    model = linear()
    model.graph.input[0].type.tensor_type.shape.ClearField("dim")

    with pytest.raises(ConversionError, match=r"'x' has no batch axis"):
        with_free_batch(model)


def test_an_axis_of_any_length_stays_free():
    model = corrected(parsed("g (float[n, m] x) => (float[n, k] y) { y = Relu(x) }"))

    assert graph_inputs(model) == (Tensor("x", "FP32", (-1,)),)
    assert graph_outputs(model) == (Tensor("y", "FP32", (-1,)),)


def test_an_axis_that_looks_fixed_beside_free_ones_is_believed_only_where_it_is_declared():
    """A map of half the size is one pixel high for images of two and of three: that does not fix it."""
    text = (
        "g (float[n, 1, h, w] x) => (float[n, 1, {}, {}] y) "
        "{{ y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x) }}"
    )
    halved = corrected(parsed(text.format("a", "b")))
    averaged = corrected(parsed("g (float[n, 1, h, w] x) => (float[n, 1, 1, 1] y) { y = GlobalAveragePool(x) }"))

    assert graph_outputs(halved) == (Tensor("y", "FP32", (1, -1, -1)),)
    assert graph_outputs(averaged) == (Tensor("y", "FP32", (1, 1, 1)),)


def test_images_that_must_be_large_are_tried_large():
    model = corrected(
        parsed("g (float[n, 1, h, w] x) => (float[n, 1, a, b] y) { y = MaxPool <kernel_shape = [50, 50]> (x) }")
    )

    assert graph_outputs(model) == (Tensor("y", "FP32", (1, -1, -1)),)


def test_several_inputs_batch_together():
    model = corrected(
        parsed(
            "g (int64[n, s] ids, bool[n, s] mask, float[n, 2] x) => (float[n, d] y) <float[5, 2] table = "
            "{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, int64[1] axis = {1}> {"
            "words = Gather(table, ids) wide = Cast <to = 1> (mask) last = Unsqueeze(wide, two)"
            "seen = Mul(words, last) sum = ReduceSum <keepdims = 0> (seen, axis) y = Add(sum, x) two = Constant"
            " <value = int64[1] {2}> () }"
        )
    )

    answer = asked(model, ids=[[1, 4]], mask=[[True, False]], x=np.ones((1, 2), np.float32))

    assert [tensor.name for tensor in graph_inputs(model)] == ["ids", "mask", "x"]
    assert answer["y"].tolist() == [[3.0, 4.0]]


def test_text_batches():
    model = corrected(
        parsed(
            "g (string[n, 1] word) => (int64[n, 1] y) { y = ai.onnx.ml.LabelEncoder"
            " <keys_strings = ['a', 'b'], values_int64s = [10, 20], default_int64 = -1> (word) }".replace("'", '"')
        )
    )

    assert graph_inputs(model) == (Tensor("word", "BYTES", (1,)),)
    assert asked(model, word=np.array([[b"b"], ["a"]], object))["y"].tolist() == [[20], [10]]


@pytest.mark.parametrize("opset", [13, 21, 22, 23, 25])
def test_versions_end_where_the_oldest_target_does(opset):
    model = with_loadable_versions(linear(opset=opset, ir=11))

    assert (model.ir_version, model.opset_import[0].version) == (10, min(opset, 21))
    assert graph_outputs(with_true_shapes(model)) == (Tensor("y", "FP32", (2,)),)


def test_lowering_keeps_what_was_noted():
    model = linear(opset=23)
    model.metadata_props.add(key="author", value="me")

    assert [entry.value for entry in with_loadable_versions(model).metadata_props] == ["me"]


def test_an_operator_younger_than_the_oldest_target_is_spelled_out_in_older_ones():
    text = (
        "g (float[n, 4] x) => (float[n, 4] y) <float[4] s = {1, 2, 3, 4}> "
        "{ z = Abs(x) r = RMSNormalization(z, s) y = Swish(r) }"
    )
    rows = np.random.default_rng(0).random((3, 4), np.float32)
    expected = asked(parsed(text, opset=24), x=rows)["y"]

    model = corrected(parsed(text, opset=24))

    assert {opset.version for opset in model.opset_import} == {21}
    assert not {"RMSNormalization", "Swish"} & {node.op_type for node in model.graph.node}
    np.testing.assert_allclose(asked(model, x=rows)["y"], expected, rtol=1e-6)


def test_functions_of_the_graph_s_own_are_inlined():
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21, "mine" : 1]> g (float[n, 2] x) => (float[n, 2] y) '
        '{ y = mine.twice(x) } <opset_import: ["" : 21], domain: "mine"> twice (a) => (b) { b = Add(a, a) }'
    )

    model = corrected(model)

    assert not model.functions
    assert [opset.domain for opset in model.opset_import] == [""]
    assert asked(model, x=np.ones((1, 2), np.float32))["y"].tolist() == [[2.0, 2.0]]


def test_another_operator_set_that_is_too_new_is_refused():
    model = parsed("g (float[n, 3] x) => (float[n, 3] y) { y = ai.onnx.ml.Scaler <offset = [0.0], scale = [1.0]> (x) }")
    model.opset_import[1].version = 6

    with pytest.raises(ConversionError, match=r"uses ai\.onnx\.ml 6; the oldest Triton served here has 5"):
        with_loadable_versions(model)


def test_an_operator_set_that_no_node_is_of_does_not_matter():
    model = linear()
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 6))
    model.opset_import.append(helper.make_opsetid("somebody.else", 1))

    assert [opset.domain for opset in with_loadable_versions(model).opset_import] == [""]


def test_every_operator_nobody_knows_is_named_with_its_node():
    model = parsed(
        "g (float[n, 3] x, bool[n] c) => (float[n, 3] y) { a = MatMool(x, x) b = other.Thing(a) k = Constant <value ="
        " bool {1}> () y = If (k) <then_branch = t () => (d) { d = com.microsoft.Nothing(b) }, else_branch = e () =>"
        " (f) { f = Relu(b) }> }"
    )
    model.graph.node[1].name = "mine"

    with pytest.raises(
        ConversionError,
        match=r"does not run MatMool \(node 'MatMool_0'\), other\.Thing \(node 'mine'\), com\.microsoft\.Nothing "
        r"\(node 'Nothing_0'\): export the model with operators of ONNX itself",
    ):
        corrected(model)


def test_what_this_runtime_runs_and_the_oldest_does_not_is_refused():
    assert is_known("com.microsoft", "FusedMatMul")
    assert not is_known("ai.onnx.ml", "TreeEnsemble")
    assert not is_known("com.microsoft", "GatherBlockQuantized")
    assert "" not in MICROSOFT


def test_two_inputs_of_different_fixed_batches_are_refused():
    model = parsed("g (float[2, 3] x, float[4, 3] z) => (float[2, 3] y) { y = Relu(x) }")

    with pytest.raises(ConversionError, match=r"its inputs have 2 and 4 rows, so their first axes are no common batch"):
        corrected(model)


def test_outputs_are_renamed_wherever_they_stand():
    model = renamed_outputs(linear(), ["prediction"])

    assert list(asked(model, x=np.ones((1, 3), np.float32))) == ["prediction"]


def test_an_output_may_take_the_name_of_something_inside():
    model = renamed_outputs(parsed("g (float[n, 2] x) => (float[n, 2] y) { z = Abs(x) y = Neg(z) }"), ["z"])

    assert asked(model, x=np.ones((1, 2), np.float32))["z"].tolist() == [[-1.0, -1.0]]


def test_names_that_triton_does_not_take_are_replaced_and_kept():
    model = linear(declared=("n", 2))
    model.graph.input[0].name = model.graph.node[0].input[0] = "sepal length (cm)"
    model.graph.output[0].name = model.graph.node[0].output[0] = "out:0"
    model.graph.initializer[0].name = model.graph.node[0].input[1] = "out_0"

    model = corrected(corrected(model))

    assert graph_inputs(model)[0].name == "sepal_length_cm"
    assert graph_outputs(model)[0].name == "out_0"
    assert noted(model, "renamed") == {"sepal_length_cm": "sepal length (cm)", "out_0": "out:0"}
    assert asked(model, sepal_length_cm=np.ones((1, 3), np.float32))["out_0"].tolist() == [[3.0, 3.0]]


def test_names_that_would_become_the_same_stay_apart():
    model = corrected(parsed("g (float[n, 1] a, float[n, 1] b) => (float[n, 1] y) { y = Sub(a, b) }"))
    for old, new in (("a", "x 1"), ("b", "x(1)")):
        for named in (*model.graph.input,):
            named.name = new if named.name == old else named.name
        model.graph.node[0].input[:] = [new if name == old else name for name in model.graph.node[0].input]

    model = corrected(model)

    assert [tensor.name for tensor in graph_inputs(model)] == ["x_1", "x_1_2"]
    assert asked(model, x_1=np.array([[5.0]], np.float32), x_1_2=np.array([[2.0]], np.float32))["y"].tolist() == [[3.0]]


def test_a_name_is_replaced_inside_control_flow_too_where_it_means_the_same():
    model = parsed(
        "g (float[n, 2] x, bool[n] c) => (float[n, 2] y) { k = Constant <value = bool {1}> () y = If (k) <then_branch ="
        " t () => (d) { d = Neg(x) }, else_branch = e () => (f) { x2 = Abs(x) f = Relu(x2) }> }"
    )
    onnx_rename(model.graph, "x", "x (m)")

    model = corrected(model)

    answer = asked(model, x_m=np.ones((2, 2), np.float32), c=np.ones(2, bool))
    assert answer["y"].tolist() == [[-1.0, -1.0]] * 2


def onnx_rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Call a value otherwise, everywhere, by text."""
    text = graph.SerializeToString()
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        for attribute in node.attribute:
            onnx_rename(attribute.g, old, new)
    for value in graph.input:
        value.name = new if value.name == old else value.name
    assert text != graph.SerializeToString() or not graph.node


def test_settled_names_do_not_depend_on_what_they_were():
    one, other = linear(), linear()
    other.graph.initializer[0].name = other.graph.node[0].input[1] = "norm_140360853916240"
    other.graph.node[0].name = "drawn"

    assert with_settled_names(one).SerializeToString() == with_settled_names(other).SerializeToString()
    assert open_session(one).get_inputs()[0].name == "x"


def test_settled_names_leave_the_public_ones_alone():
    model = with_settled_names(parsed("g (float[n, 2] t4) => (float[n, 2] y) { a = Abs(t4) b = Neg(a) y = Relu(b) }"))

    assert asked(model, t4=np.ones((1, 2), np.float32))["y"].tolist() == [[0.0, 0.0]]


def test_rows_are_cast_where_nothing_is_lost():
    model = parsed("g (int64[n, 1] i, float[n, 1] f) => (int64[n, 1] y, float[n, 1] z) { y = Abs(i) z = Abs(f) }")

    answer = asked(model, i=np.array([[3.0]]), f=np.array([[0.1]]))

    assert (answer["y"].dtype, answer["z"].dtype) == (np.int64, np.float32)
    with pytest.raises(ConversionError, match=r"'i' takes int64, and some of the float64 given is not: send int64"):
        asked(model, i=np.array([[2.5]]), f=np.array([[0.1]]))
    with pytest.raises(ConversionError, match=r"'f' takes float32, and some of the float64 given is not"):
        asked(model, i=np.array([[2]]), f=np.array([[1e300]]))


def test_one_number_a_row_may_come_as_triton_sends_it():
    model = corrected(parsed("g (float[n] x) => (float[n] y) { y = Neg(x) }"))

    assert asked(model, x=np.ones((2, 1), np.float32))["y"].tolist() == [-1.0, -1.0]


def test_rows_the_graph_cannot_take_are_refused():
    model = with_true_shapes(linear())

    with pytest.raises(ConversionError, match=r"the graph fails on 2 rows"):
        asked(model, x=np.ones((2, 4), np.float32))
    with pytest.raises(ConversionError, match=r"the graph takes x, and was given z"):
        asked(model, z=np.ones((2, 4), np.float32))


def test_what_an_exporter_remarked_of_somebody_s_files_is_gone():
    model = linear()
    model.graph.node[0].doc_string = "/home/me/train.py:12"
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/home/me/train.py:12")

    assert b"/home/me" not in corrected(model).SerializeToString()


ZIPPED = """
g (float[n, 3] x) => (int64[n] label, seq(map(int64, float)) probabilities) {
  scores = Softmax(x)
  label = ArgMax <axis = 1, keepdims = 0> (scores)
  probabilities = ai.onnx.ml.ZipMap <classlabels_int64s = [7, 8, 9]> (scores)
}
"""


def test_a_zip_map_becomes_the_tensor_it_was_made_of():
    model = corrected(parsed(ZIPPED))

    assert graph_outputs(model) == (Tensor("label", "INT64", ()), Tensor("probabilities", "FP32", (3,)))
    assert asked(model, x=np.zeros((2, 3), np.float32))["probabilities"].shape == (2, 3)
    assert noted(model, "labels") == {"probabilities": [7, 8, 9]}


@pytest.mark.parametrize(
    ("kind", "node", "said"),
    [("seq(float[n, 3])", "SequenceConstruct(x)", "sequence"), ("optional(float[n, 3])", "Optional(x)", "optional")],
)
def test_an_answer_that_is_no_tensor_is_refused(kind, node, said):
    model = parsed(f"g (float[n, 3] x) => ({kind} y) {{ y = {node} }}")

    with pytest.raises(ConversionError, match=rf"'y' is a {said}, and Triton serves tensors: stack it"):
        corrected(model)
