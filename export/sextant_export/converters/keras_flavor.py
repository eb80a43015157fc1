"""
A Keras 3 model, translated by PyTorch's exporter: on that backend a Keras model is a PyTorch module.

The backend it was trained on does not matter, because a ``.keras`` file holds layers and weights; only a layer
that calls another framework itself cannot be loaded here.  The proof compares with Keras on PyTorch.  Keras' own
``Model.export(format="onnx")`` is not used: on PyTorch it writes TorchScript graphs where an axis is open.

What runs saved code, a ``Lambda`` layer, is refused by Keras' safe mode.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import onnx

from sextant.errors import ConversionError, MissingExtra
from sextant_export.converters.network_inputs import network_inputs
from sextant_export.mlflow_calls import quiet_mlflow
from sextant_export.original import Original, first_line
from sextant_export.registry import Artifact
from sextant_export.signature import Signature

if TYPE_CHECKING:
    from sextant_export.converters.network import Network, Tensors

EXACTNESS = 60
_ON_PYTORCH = {"KERAS_BACKEND": "torch", "KERAS_TORCH_DEVICE": "cpu"}


def convert(artifact: Artifact, signature: Signature | None) -> onnx.ModelProto:
    """The graph of the model: inputs by the names of its signature, one answer ``prediction``, several by name."""
    from sextant_export.converters.torch_graph import graph_of

    return graph_of(_network(artifact, signature), artifact.path)


def original(artifact: Artifact) -> Original:
    """The model itself, on PyTorch, asked tensors."""
    from sextant_export.converters.network import native_answers

    return native_answers(artifact, _network(artifact, artifact.signature))


def _network(artifact: Artifact, signature: Signature | None) -> Network:
    from sextant_export.converters.network import Network

    inputs, model = network_inputs(artifact, signature), _load(artifact)
    model.eval()
    names = [column.name for column in signature.inputs] if signature and signature.form == "tensors" else []
    order = _order(model, names)

    def ask(rows: Tensors) -> Any:
        tensors = [rows[inputs[place].name] for place in order]
        return model(_packed(model, tensors), training=False)

    return Network(module=model, inputs=inputs, ask=ask)


def _order(model: Any, names: list[str]) -> list[int]:
    """Where each input of the model stands in the signature: by name where all agree, else in order."""
    known = [tensor.name for tensor in getattr(model, "inputs", None) or ()]
    if names and sorted(names) == sorted(known):
        return [names.index(name) for name in known]
    return list(range(max(len(names), 1)))


def _packed(model: Any, tensors: list[Any]) -> Any:
    """The *tensors* as the model wants its inputs: one, a list or a dict."""
    import keras

    structure = getattr(model, "_inputs_struct", None)
    if structure is None:
        return tensors[0] if len(tensors) == 1 else tensors
    return keras.tree.pack_sequence_as(structure, tensors)


def _load(artifact: Artifact) -> Any:
    if artifact.flavors["keras"].get("save_exported_model"):
        advice = "log it without save_exported_model"
        raise ConversionError(f"{artifact.version}: it was saved as a program for TensorFlow: {advice}")
    from sextant_export.converters.network import quiet_torch

    with quiet_mlflow() as mlflow, quiet_torch(), on_pytorch():
        _require_pytorch(artifact)
        try:
            return mlflow.keras.load_model(str(artifact.path))
        except Exception as error:
            raise ConversionError(f"{artifact.version}: the model cannot be loaded: {first_line(error)}") from error


@contextmanager
def on_pytorch() -> Iterator[None]:
    """Keras reads its backend from the environment, once, when it is imported; what the user has set holds."""
    added = {key: value for key, value in _ON_PYTORCH.items() if key not in os.environ and "keras" not in sys.modules}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)


def _require_pytorch(artifact: Artifact) -> None:
    try:
        import keras
    except ImportError as error:
        raise MissingExtra("keras", "a Keras model") from error
    if (backend := keras.backend.backend()) != "torch":
        advice = "set KERAS_BACKEND=torch"
        raise ConversionError(f"{artifact.version}: Keras runs on {backend} here and is exported from torch: {advice}")
