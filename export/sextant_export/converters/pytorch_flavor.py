"""
A PyTorch module, translated by PyTorch's own exporter.

Both forms in which MLflow saves one are taken: a pickled ``torch.nn.Module`` and a program of ``torch.export``.
Loading a pickled module runs what was saved with it, so the registry must be trusted.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import onnx

from sextant.errors import ConversionError
from sextant_export.converters.network_inputs import network_inputs
from sextant_export.mlflow_calls import quiet_mlflow
from sextant_export.original import Original, first_line
from sextant_export.registry import Artifact
from sextant_export.signature import Signature

if TYPE_CHECKING:
    from sextant_export.converters.network import Network, Tensors

EXACTNESS = 60


def convert(artifact: Artifact, signature: Signature | None) -> onnx.ModelProto:
    """
    The graph of the module: inputs by the names of its signature, one answer ``prediction``, several by name.

    A dict answers under its keys and a tuple as ``output_0``, ``output_1``.  ConversionError names the operator, or
    the line of the model, that cannot be exported.
    """
    from sextant_export.converters.torch_graph import graph_of

    return graph_of(_network(artifact, signature), artifact.path)


def original(artifact: Artifact) -> Original:
    """The module itself, asked tensors; MLflow's predict takes one array and gives one."""
    from sextant_export.converters.network import native_answers

    return native_answers(artifact, _network(artifact, artifact.signature))


def _network(artifact: Artifact, signature: Signature | None) -> Network:
    from sextant_export.converters.network import Network

    inputs, module = network_inputs(artifact, signature), _load(artifact)
    names = [column.name for column in signature.inputs] if signature and signature.form == "tensors" else []
    keywords = _takes(module, names)

    def ask(rows: Tensors) -> Any:
        tensors = [rows[tensor.name] for tensor in inputs]
        return module(**dict(zip(names, tensors, strict=True))) if keywords else module(*tensors)

    return Network(module=module, inputs=inputs, ask=ask)


def _takes(module: Any, names: list[str]) -> bool:
    """Whether the module calls its arguments by *names*; an exported program knows them by their order alone."""
    import torch

    known = inspect.signature(module.forward).parameters
    return bool(names) and not isinstance(module, torch.fx.GraphModule) and set(names) <= set(known)


def _load(artifact: Artifact) -> Any:
    import torch

    from sextant_export.converters.network import quiet_torch

    try:
        with quiet_mlflow() as mlflow, quiet_torch():
            module = mlflow.pytorch.load_model(str(artifact.path), weights_only=False, map_location="cpu")
    except Exception as error:
        raise ConversionError(f"{artifact.version}: the module cannot be loaded: {first_line(error)}") from error
    if isinstance(module, torch.jit.ScriptModule):
        advice = "log the torch.nn.Module it was made of"
        raise ConversionError(f"{artifact.version} is TorchScript, which PyTorch no longer exports: {advice}")
    return module
