"""A graph exported for one number of rows takes any number afterwards, or is refused with the reason."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.onnx_graph import answers, corrected, graph_inputs, graph_outputs, open_session
from sextant_export.onnx_graph.batch import in_batches, in_parts

ROWS = np.random.default_rng(3).random((8, 6), np.float32)


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')


def ran(model: onnx.ModelProto, rows: np.ndarray) -> np.ndarray:
    (answer,) = answers(open_session(model), {"x": rows}).values()
    return answer


ATTENTION = """
<int64[3] parts = {{{b}, 3, 2}}, int64[3] heads = {{3, {t}, 1}}, int64[4] apart = {{{b}, 2, 3, 1}},
 int64[2] flat = {{{r}, 2}}, int64[3] back = {{3, {b}, 2}}, float[2, 2] w = {{1, 2, 3, 4}}>
{{ a = Reshape(x, parts) s = Transpose {p} (a) h = Reshape(s, heads) i = Transpose {p} (h) e = Exp(i)
   d = Reshape(e, apart) j = Transpose <perm = [2, 0, 1, 3]> (d) f = Reshape(j, flat) m = MatMul(f, w)
   c = Reshape(m, back) y = Transpose <perm = [1, 2, 0]> (c) }}
"""
"""Words in front, then heads merged with the batch, then words merged with it: where torch puts it."""


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize(
    "body",
    [
        "<int64[3] s = {{{b}, 2, 3}}> {{ y = Reshape(x, s) }}",
        "<int64[3] s = {{{b}, -1, 3}}> {{ y = Reshape(x, s) }}",
        "<int64[3] s = {{0, 2, 3}}> {{ y = Reshape(x, s) }}",
        "<int64[2] s = {{{t}, 3}}, int64[3] back = {{{b}, 2, 3}}> {{ a = Reshape(x, s) y = Reshape(a, back) }}",
        "<int64[3] s = {{{b}, 2, 3}}> {{ a = Reshape(x, s) b = Transpose {p} (a) y = Transpose {p} (b) }}",
        "<int64[3] s = {{{b}, 2, 3}}> {{ a = Reshape(x, s) e = Constant <value_ints=[{b},2,3]> () y = Expand(a, e) }}",
        ATTENTION,
        "{{ s = Constant <value = int64[3] {{{b}, 2, 3}}> () y = Reshape(x, s) }}",
    ],
    ids=["shape", "rest", "zero", "merged", "transposed", "expanded", "attention", "constant"],
)
def test_a_fixed_batch_becomes_free(batch, body):
    body = body.format(b=batch, t=2 * batch, r=3 * batch, p="<perm = [1, 0, 2]>")
    text = f"g (float[{batch}, 6] x) => (float[{batch}, 2, 3] y) {body}"
    expected = np.concatenate([ran(parsed(text), part["x"]) for part in in_batches({"x": ROWS}, batch)])

    model = corrected(parsed(text))

    assert graph_inputs(model) == (Tensor("x", "FP32", (6,)),)
    assert graph_outputs(model) == (Tensor("y", "FP32", (2, 3)),)
    for rows in (1, 3, 8):
        assert np.array_equal(ran(model, ROWS[:rows]), expected[:rows])


def test_a_batch_at_the_end_becomes_free():
    """Of two axes as long as the batch, one is the batch: both are tried."""
    model = corrected(
        parsed(
            "g (float[2, 6] x) => (float[2, 3] y) <int64[3] s = {3, 2, 2}, int64[1] axis = {2}> {"
            "t = Transpose(x) r = Reshape(t, s) z = Transpose <perm = [2, 0, 1]> (r) "
            "y = ReduceSum <keepdims = 0> (z, axis) }"
        )
    )

    np.testing.assert_allclose(ran(model, ROWS[:5]), ROWS[:5].reshape(5, 3, 2).sum(axis=2), rtol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_recurrent_layer_may_begin_with_zeros_for_each_row(kind):
    gates = {"LSTM": 4, "GRU": 3}[kind] * 5
    random = np.random.default_rng(5)
    model = parsed(
        f"g (float[2, 6] x) => (float[2, 5] y) <int64[3] s = {{3, 2, 2}}, int64[1] first = {{0}}> {{ t = Transpose(x) "
        f"r = Reshape(t, s) z = Transpose <perm = [0, 2, 1]> (r) all, last = {kind} <hidden_size = 5> (z, w, u, b, , "
        f"zeros{', zeros' if kind == 'LSTM' else ''}) y = Squeeze(last, first) }}"
    )
    shapes = {"w": (1, gates, 2), "u": (1, gates, 5), "b": (1, 2 * gates)}
    weights = {name: random.random(shape, np.float32) for name, shape in shapes.items()}
    weights["zeros"] = np.zeros((1, 2, 5), np.float32)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in weights.items())
    expected = np.concatenate([ran(model, part["x"]) for part in in_batches({"x": ROWS}, 2)])

    np.testing.assert_allclose(ran(corrected(model), ROWS), expected, rtol=1e-5)


def test_a_length_that_is_free_beside_a_fixed_batch_stays_free():
    model = corrected(
        parsed("g (float[1, m, 6] x) => (float[1, m, 2, 3] y) <int64[4] s = {1, -1, 2, 3}> { y = Reshape(x, s) }")
    )

    assert ran(model, ROWS.reshape(2, 4, 6)).shape == (2, 4, 2, 3)


def test_a_shape_of_something_unknown_is_guessed_and_tried():
    """Nobody infers how many places are not zero; the guess is right here, and refused where it is not."""
    model = parsed(
        "g (float[2, 6] x) => (float[2, 3] y) <int64[2] s = {2, 3}> "
        "{ p = Compress <axis = 1> (x, k) y = Reshape(p, s) }"
    )
    mask = np.array([True, False] * 3)
    model.graph.initializer.append(onnx.numpy_helper.from_array(mask, "k"))

    assert np.array_equal(ran(corrected(model), ROWS), ROWS[:, mask])


def test_a_graph_that_mixes_its_rows_is_refused():
    model = parsed("g (float[2, 6] x) => (float[2, 6] y) { y = Softmax <axis = 0> (x) }")

    with pytest.raises(
        ConversionError,
        match=r"exported for batches of 2, and it is another graph for any other: output 'y' of 1 rows is not what it "
        r"is in its own batches; export the model with a dynamic first axis",
    ):
        corrected(model)


def test_a_graph_that_holds_a_constant_for_each_row_is_refused():
    model = parsed("g (float[2, 2] x) => (float[2, 2] y) <float[2, 2] w = {1, 2, 3, 4}> { y = Add(x, w) }")

    with pytest.raises(ConversionError, match=r"exported for batches of 2, .* any other: output 'y' of 1 rows has"):
        corrected(model)


def test_a_graph_without_a_batch_is_refused():
    """A vector of three numbers is one row, not three."""
    text = "g (float[3] x) => (float[3] y) <float[3, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9}> { y = MatMul(x, w) }"

    with pytest.raises(ConversionError, match=r"exported for batches of 3, and it is another graph for any other"):
        corrected(parsed(text))


def test_an_answer_that_has_no_rows_is_refused():
    text = "g (float[2, 6] x) => (float y) { y = ReduceMean <keepdims = 0> (x) }"

    with pytest.raises(ConversionError, match=r"output 'y' of the 2 rows .* the shape \(\): it does not batch"):
        corrected(parsed(text))


def test_one_fixed_input_among_free_ones_is_freed_too():
    model = corrected(parsed("g (float[1, 6] x, float[n, 6] z) => (float[n, 6] y) { y = Add(x, z) }"))

    answer = answers(open_session(model), {"x": ROWS, "z": ROWS})["y"]

    assert np.array_equal(answer, ROWS + ROWS)


def test_places_in_a_table_are_tried_with_places_that_it_has():
    model = corrected(parsed("g (int64[1, 2] x) => (float[1, 2] y) <float[2] t = {5, 6}> { y = Gather(t, x) }"))

    assert ran(model, np.array([[0, 1], [1, 1]])).tolist() == [[5.0, 6.0], [6.0, 6.0]]


def test_what_a_branch_declares_does_not_fix_the_batch():
    model = corrected(
        parsed(
            "g (float[1, 6] x) => (float[1, 6] y) { k = Constant <value = bool {1}> () b = If (k) <then_branch = t () "
            "=> (float[1, 6] d) { d = Neg(x) }, else_branch = e () => (float[1, 6] f) { f = Abs(x) }> s = Shape(b) "
            "y = Reshape(b, s) }"
        )
    )

    assert np.array_equal(ran(model, ROWS), -ROWS)


def test_an_image_of_any_size_keeps_its_size_free():
    model = corrected(parsed("g (float[1, 1, h, w] x) => (float[1, 1, h, w] y) { y = Relu(x) }"))

    assert graph_outputs(model) == (Tensor("y", "FP32", (1, -1, -1)),)


def test_batches_are_filled_up_with_the_last_row():
    parts = [part["x"].tolist() for part in in_batches({"x": np.arange(5)}, 2)]

    assert parts == [[0, 1], [2, 3], [4, 4]]


def test_many_rows_are_asked_a_few_hundred_at_a_time():
    assert [len(part["x"]) for part in in_parts({"x": np.zeros(600)})] == [256, 256, 88]
