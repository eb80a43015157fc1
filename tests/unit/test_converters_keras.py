"""Keras models become graphs on PyTorch; TensorFlow's own need TensorFlow, which is not among the tests' packages."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from saved_networks import ROWS, artifact, numbers, proven, saved
from sextant.errors import ConversionError, MissingExtra
from sextant.tensors import Tensor
from sextant_export.converters import keras_flavor, tensorflow_flavor
from sextant_export.converters.keras_flavor import on_pytorch
from sextant_export.mlflow_calls import quiet

pytestmark = pytest.mark.models

with on_pytorch(), quiet():
    keras = pytest.importorskip("keras")

layers = keras.layers


def sequence(shape, *parts):
    return keras.Sequential([keras.Input(shape), *parts])


def perceptron():
    hidden = layers.Dense(16, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.5)
    return sequence((8,), *hidden, layers.Dense(3, activation="softmax"))


def convolution():
    return sequence((8, 8, 1), layers.Conv2D(4, 3), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(3))


def recurrent():
    return sequence((6, 4), layers.Bidirectional(layers.GRU(8)), layers.Dense(2))


def two_inputs(struct: type):
    left, right = keras.Input((4,), name="left"), keras.Input((6,), name="right side")
    hidden = layers.Dense(8, activation="gelu")(layers.Concatenate()([left, right]))
    score, gate = layers.Dense(2)(hidden), layers.Dense(1, activation="sigmoid")(hidden)
    if struct is dict:
        return keras.Model({"left": left, "right side": right}, {"score": score, "gate": gate})
    return keras.Model([right, left], [score, gate])


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.mark.parametrize(
    ("network", "dims"),
    [(perceptron, (8,)), (convolution, (8, 8, 1)), (recurrent, (6, 4))],
    ids=["perceptron", "convolution", "recurrent"],
)
def test_a_model_answers_as_its_graph(tmp_path, network, dims):
    rows = numbers(*dims)
    model = saved("keras", network(), tmp_path / "net", rows)

    graph, proof = proven(keras_flavor, model, {"features": rows})

    assert proof.rows == ROWS
    assert proof.max_abs_delta < 1e-5
    assert graph.inputs == (Tensor("features", "FP32", dims),)
    assert [tensor.name for tensor in graph.outputs] == ["prediction"]


@pytest.mark.parametrize(("struct", "outputs"), [(dict, {"score", "gate"}), (list, {"output_0", "output_1"})])
def test_inputs_and_answers_keep_their_names(tmp_path, struct, outputs):
    feed = {"left": numbers(4), "right side": numbers(6)}
    model = saved("keras", two_inputs(struct), tmp_path / "net", feed)

    graph, proof = proven(keras_flavor, model, {"left": feed["left"], "right_side": feed["right side"]})

    assert graph.inputs == (Tensor("left", "FP32", (4,)), Tensor("right_side", "FP32", (6,)))
    assert {tensor.name for tensor in graph.outputs} == outputs
    assert proof.max_abs_delta < 1e-5


def test_the_original_is_what_keras_predicts(tmp_path):
    network, rows = perceptron(), numbers(8)
    model = saved("keras", network, tmp_path / "net", rows)

    answers = keras_flavor.original(model)({"features": rows})

    np.testing.assert_allclose(answers["prediction"], network.predict(rows, verbose=0), atol=1e-6)


def test_a_layer_of_ones_own_code_is_refused(tmp_path):
    model = saved("keras", sequence((4,), layers.Lambda(lambda rows: rows + 1)), tmp_path / "net", numbers(4))

    with pytest.raises(ConversionError, match=r"models:/net/3: the model cannot be loaded: .*"):
        keras_flavor.convert(model, model.signature)


def test_a_program_for_tensorflow_is_refused_with_advice(tmp_path):
    model = saved("keras", perceptron(), tmp_path / "net", numbers(8))
    exported = artifact(model.path, {"keras": {"save_exported_model": True}})

    with pytest.raises(ConversionError, match=r"saved as a program for TensorFlow: log it without save_exported_model"):
        keras_flavor.convert(exported, model.signature)


def test_another_backend_is_refused_with_advice(tmp_path, monkeypatch):
    model = saved("keras", perceptron(), tmp_path / "net", numbers(8))
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")

    with pytest.raises(ConversionError, match=r"Keras runs on jax here and is exported from torch: set KERAS_BACKEND"):
        keras_flavor.convert(model, model.signature)


@pytest.mark.parametrize(
    ("converter", "flavor", "package", "said"),
    [
        (keras_flavor, "keras", "keras", r"a Keras model needs an extra: .*triton-sextant\[keras\]"),
        (tensorflow_flavor, "tensorflow", "tensorflow", r"a TensorFlow model needs an extra: .*sextant\[tensorflow\]"),
        (tensorflow_flavor, "tensorflow", "tf2onnx", r"a TensorFlow model needs an extra: .*sextant\[tensorflow\]"),
    ],
)
def test_without_the_package_the_line_to_type_is_said(tmp_path, monkeypatch, converter, flavor, package, said):
    model = saved("keras", perceptron(), tmp_path / "net", numbers(8))
    logged = artifact(model.path, {flavor: {"model_type": "keras"}})
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtra, match=said):
        converter.convert(logged, model.signature)
