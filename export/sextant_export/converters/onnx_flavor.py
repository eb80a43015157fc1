"""A model of MLflow's ``onnx`` flavour: its graph, with the weights that lie beside it."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data

from sextant.errors import ConversionError
from sextant_export.onnx_graph import corrected
from sextant_export.registry import Artifact
from sextant_export.signature import TensorSignature


def convert(artifact: Artifact, _signature: TensorSignature) -> onnx.ModelProto:
    """The saved graph, whole, weights inside; ConversionError names the file that is missing or cut short."""
    path = artifact.path / str(artifact.flavors["onnx"]["data"])
    try:
        model = onnx.load(str(path), load_external_data=False)
    except FileNotFoundError as error:
        raise ConversionError(f"{artifact.version}: its file {path.name} is missing") from error
    except Exception as error:
        raise ConversionError(f"{artifact.version}: {path.name} is no whole ONNX file: {error}") from error
    if not model.graph.output:
        raise ConversionError(f"{artifact.version}: {path.name} is no whole ONNX file: its graph has no output")
    for weight in filter(uses_external_data, model.graph.initializer):
        _require(artifact, path.parent, weight)
    try:
        load_external_data_for_model(model, str(path.parent))
    except Exception as error:
        raise ConversionError(f"{artifact.version}: its weights cannot be read: {error}") from error
    return corrected(model)


def _require(artifact: Artifact, folder: Path, weight: onnx.TensorProto) -> None:
    """Each weight's bytes must be there: a reader of a short file would go on with what it got."""
    place = ExternalDataInfo(weight)
    file = folder / place.location
    if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
        raise ConversionError(f"{artifact.version}: its weights {weight.name!r} lie in {place.location}, not there")
    needed = (place.offset or 0) + (place.length or 0)
    if (size := file.stat().st_size) < needed:
        said = f"{place.location} is cut short: {size} bytes of at least {needed}"
        raise ConversionError(f"{artifact.version}: {said}; log the model again")
