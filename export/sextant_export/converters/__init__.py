"""
MLflow flavours that become ONNX: one file each, one function ``convert(artifact, signature) -> ModelProto``.

A model saved in several flavours is taken in the first of the table, which is the most exact.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import onnx

from sextant.errors import ConversionError
from sextant_export.registry import Artifact

__all__ = ["CONVERTERS", "convert"]

CONVERTERS: Mapping[str, str] = {
    "onnx": "sextant_export.converters.onnx_flavor",
    "sklearn": "sextant_export.converters.sklearn_flavor",
}


def convert(artifact: Artifact) -> onnx.ModelProto:
    """The ONNX graph of *artifact*, loadable by every target; ConversionError says why there is none."""
    for flavor, module in CONVERTERS.items():
        if flavor in artifact.flavors:
            model: onnx.ModelProto = importlib.import_module(module).convert(artifact, artifact.signature)
            return model
    saved = ", ".join(sorted(artifact.flavors))
    raise ConversionError(
        f"{artifact.version} was saved as {saved}; this version converts {', '.join(CONVERTERS)}: "
        "export it to ONNX and log it with mlflow.onnx.log_model"
    )
