"""
A TensorFlow model, Keras or ``tf.Module``, translated by tf2onnx.

It needs TensorFlow and tf2onnx: 2.21.0 and 1.17.0 were tried with NumPy 1.26.4, protobuf 6.33.6 and onnx 1.23.2.
Loading runs what was saved with the model, so the registry must be trusted.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnx

from sextant.columns import tensor_names
from sextant.errors import ConversionError, MissingExtra, RegistryError
from sextant.tensors import Tensor
from sextant_export.converters.network_inputs import network_inputs
from sextant_export.mlflow_calls import quiet, quiet_mlflow
from sextant_export.onnx_graph import renamed_outputs
from sextant_export.original import Original, first_line, named
from sextant_export.registry import Artifact
from sextant_export.signature import Arrays, Feed, Signature

EXACTNESS = 60
OPSET = 18
_TYPES = ("keras", "tf2-module")


def convert(artifact: Artifact, signature: Signature | None) -> onnx.ModelProto:
    """The graph of the model: inputs by the names of its signature, one answer ``prediction``, several by name."""
    tensorflow, tf2onnx = _packages()
    inputs, call = _called(tensorflow, artifact, signature)
    specs = [tensorflow.TensorSpec((None, *_open(tensor)), tensor.numpy_type, name=tensor.name) for tensor in inputs]
    try:
        with quiet("tensorflow", "tf2onnx"):
            function = tensorflow.function(lambda *rows: list(call(*rows).values()), input_signature=specs)
            model, _ = tf2onnx.convert.from_function(function, input_signature=specs, opset=OPSET)
    except Exception as error:
        raise ConversionError(f"{artifact.version}: tf2onnx cannot translate it: {first_line(error)}") from error
    return renamed_outputs(model, list(_answers(call, inputs)))


def original(artifact: Artifact) -> Original:
    """The model itself, asked tensors."""
    tensorflow, _ = _packages()
    inputs, call = _called(tensorflow, artifact, artifact.signature)

    def answer(feed: Feed) -> Arrays:
        rows = [tensorflow.constant(feed[tensor.name].astype(tensor.numpy_type)) for tensor in inputs]
        try:
            return named({name: tensor.numpy() for name, tensor in call(*rows).items()})
        except Exception as error:
            raise RegistryError(f"{artifact.version}: the model fails: {first_line(error)}") from error

    return answer


def _packages() -> tuple[Any, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with quiet("tensorflow", "tf2onnx"):
            import tensorflow as tf
            import tf2onnx
    except ImportError as error:
        raise MissingExtra("tensorflow", "a TensorFlow model") from error
    return tf, tf2onnx


def _called(tensorflow: Any, artifact: Artifact, signature: Signature | None) -> tuple[tuple[Tensor, ...], Any]:
    """The model's inputs, and the model as a function of them that answers tensors by name."""
    model, inputs = _load(artifact), network_inputs(artifact, signature)
    options = {"training": False} if isinstance(model, tensorflow.keras.Model) else {}

    def call(*rows: Any) -> dict[str, Any]:
        answer = model(rows[0] if len(rows) == 1 else list(rows), **options)
        parts = answer if isinstance(answer, dict) else {"prediction": answer}
        if isinstance(answer, list | tuple):
            parts = {f"output_{place}": part for place, part in enumerate(answer)}
        return dict(zip(tensor_names(parts), parts.values(), strict=True))

    return inputs, call


def _load(artifact: Artifact) -> Any:
    kind = artifact.flavors["tensorflow"].get("model_type")
    if kind not in _TYPES:
        raise ConversionError(f"{artifact.version}: it is a {kind}; converted are {' and '.join(_TYPES)}")
    try:
        with quiet_mlflow() as mlflow, quiet("tensorflow"):
            if kind == "keras":
                _require_tensorflow(artifact)
            return mlflow.tensorflow.load_model(str(artifact.path))
    except ConversionError:
        raise
    except Exception as error:
        raise ConversionError(f"{artifact.version}: the model cannot be loaded: {first_line(error)}") from error


def _require_tensorflow(artifact: Artifact) -> None:
    """Keras has one backend in a process, and a Keras model converted before may have chosen another."""
    import keras

    if (backend := keras.backend.backend()) != "tensorflow":
        advice = "convert it in a process of its own, with KERAS_BACKEND=tensorflow"
        raise ConversionError(f"{artifact.version}: Keras runs on {backend} here: {advice}")


def _answers(call: Any, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
    rows = (np.zeros((2, *(size or 8 for size in _open(tensor))), tensor.numpy_type) for tensor in inputs)
    return dict(call(*rows))


def _open(tensor: Tensor) -> tuple[int | None, ...]:
    return tuple(None if size == -1 else size for size in tensor.dims)
