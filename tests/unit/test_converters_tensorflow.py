"""TensorFlow models become graphs, where TensorFlow is: it is too large to be among the tests' packages."""

from __future__ import annotations

import pytest

from saved_networks import ROWS, artifact, numbers, proven, saved
from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.converters import tensorflow_flavor
from sextant_export.mlflow_calls import quiet

pytestmark = pytest.mark.models

with quiet():
    tensorflow = pytest.importorskip("tensorflow", reason="needs: pip install tensorflow tf2onnx")
    pytest.importorskip("tf2onnx", reason="needs: pip install tf2onnx")
    if tensorflow.keras.backend.backend() != "tensorflow":
        pytest.skip("Keras has another backend in this process: run this file alone", allow_module_level=True)

layers = tensorflow.keras.layers


def sequence(shape, *parts):
    return tensorflow.keras.Sequential([tensorflow.keras.Input(shape), *parts])


def perceptron():
    return sequence((8,), layers.Dense(16, activation="relu"), layers.BatchNormalization(), layers.Dense(3))


def convolution():
    return sequence((8, 8, 1), layers.Conv2D(4, 3), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(3))


def recurrent():
    return sequence((6, 4), layers.LSTM(8), layers.Dropout(0.5), layers.Dense(2))


class Squashed(tensorflow.Module):
    """A module that is no Keras model."""

    def __init__(self):
        super().__init__()
        self.weights = tensorflow.Variable(tensorflow.random.normal((8, 3)))

    @tensorflow.function(input_signature=[tensorflow.TensorSpec((None, 8), tensorflow.float32)])
    def __call__(self, rows):
        return tensorflow.tanh(rows @ self.weights)


@pytest.mark.parametrize(
    ("network", "dims"),
    [(perceptron, (8,)), (convolution, (8, 8, 1)), (recurrent, (6, 4)), (Squashed, (8,))],
    ids=["perceptron", "convolution", "recurrent", "module"],
)
def test_a_model_answers_as_its_graph(tmp_path, network, dims):
    rows = numbers(*dims)
    model = saved("tensorflow", network(), tmp_path / "net", rows)

    graph, proof = proven(tensorflow_flavor, model, {"features": rows})

    assert proof.rows == ROWS
    assert proof.max_abs_delta < 1e-5
    assert graph.inputs == (Tensor("features", "FP32", dims),)
    assert [tensor.name for tensor in graph.outputs] == ["prediction"]


def test_an_estimator_of_the_first_tensorflow_is_refused(tmp_path):
    model = saved("tensorflow", perceptron(), tmp_path / "net", numbers(8))
    old = artifact(model.path, {"tensorflow": {"model_type": "tf1-estimator"}})

    with pytest.raises(ConversionError, match=r"it is a tf1-estimator; converted are keras and tf2-module"):
        tensorflow_flavor.convert(old, model.signature)
