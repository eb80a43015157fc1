"""A model of MLflow's ``onnx`` flavour: its graph, with the weights that lie beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.onnx_graph.batch import in_batches, in_parts
from sextant_export.onnx_graph.external import prefixed, require_weights
from sextant_export.onnx_graph.facts import TYPES, fixed_batch, graph_inputs, note
from sextant_export.onnx_graph.maps import zip_maps
from sextant_export.onnx_graph.names import safe_names
from sextant_export.onnx_graph.scopes import taken
from sextant_export.onnx_graph.sessions import answers, open_file
from sextant_export.onnx_graph.weights import keep
from sextant_export.original import Original, first_line
from sextant_export.registry import Artifact
from sextant_export.signature import Arrays, Feed, Signature

EXACTNESS = 100


def convert(artifact: Artifact, signature: Signature | None) -> onnx.ModelProto:
    """
    The saved graph; its weights stay in their files.

    The types of its inputs are the graph's own, whatever the signature says, because those are what it computes with.
    ``ConversionError`` where the signature means another graph, or a file is missing or cut short.
    """
    path = _file(artifact)
    model = read(artifact)
    try:
        require_weights(model, path.parent)
    except ConversionError as error:
        raise ConversionError(f"{artifact.version}: {error}") from error
    if signature is not None:
        _open_defaults(model, signature)
        note(model, TYPES, _other_types(artifact, signature, model))
    return prefixed(model, path.parent.relative_to(artifact.path))


def original(artifact: Artifact) -> Original:
    """
    The logged file itself, asked in ONNX Runtime, by the names that its copy has.

    MLflow's own predict is this same session on this same file, around which it casts doubles to floats.  It is not
    asked, because it does not take whole numbers or columns of text as graphs declare them, knows no graph without a
    signature, and copies large weights, which are mapped here.
    """
    model = read(artifact)
    session = open_file(_file(artifact), model)
    return lambda feed: _answered(session, model, feed)


def read(artifact: Artifact) -> onnx.ModelProto:
    """The saved graph, without the weights that lie outside it; ConversionError where it is not whole."""
    path = _file(artifact)
    try:
        model = onnx.load(str(path), load_external_data=False)
    except FileNotFoundError as error:
        raise ConversionError(f"{artifact.version}: its file {path.name} is missing") from error
    except Exception as error:
        raise ConversionError(f"{artifact.version}: {path.name} is no whole ONNX file: {first_line(error)}") from error
    if not model.graph.output:
        raise ConversionError(f"{artifact.version}: {path.name} is no whole ONNX file: its graph has no output")
    return model


def _file(artifact: Artifact) -> Path:
    return artifact.path / str(artifact.flavors["onnx"]["data"])


def _answered(session: ort.InferenceSession, model: onnx.ModelProto, feed: Feed) -> Arrays:
    names, labels = safe_names(model.graph), zip_maps(model.graph)
    asked = {old: feed[names[old]] for old in (value.name for value in taken(model.graph)) if names[old] in feed}
    size, rows = fixed_batch(model), len(next(iter(feed.values())))
    batches = in_batches(asked, size) if size else in_parts(asked)
    parts = [_without_maps(answers(session, part), labels) for part in batches]
    return {names[old]: np.concatenate([part[old] for part in parts])[:rows] for old in parts[0]}


def _without_maps(answered: dict[str, Any], labels: Mapping[str, Sequence[Any]]) -> dict[str, NDArray[Any]]:
    """A ZipMap's answer is a map for each row, from class to probability."""
    return {
        name: np.array([[row[label] for label in labels[name]] for row in rows], np.float32) if name in labels else rows
        for name, rows in answered.items()
    }


def _open_defaults(model: onnx.ModelProto, signature: Signature) -> None:
    """An input with a default is a constant to Triton, unless the signature says that callers give it."""
    listed = {value.name for value in model.graph.input}
    asked = {column.name for column in signature.inputs} & listed
    keep(model.graph.initializer, lambda weight: weight.name not in asked)


def _other_types(artifact: Artifact, signature: Signature, model: onnx.ModelProto) -> dict[str, str]:
    """Of each input whose type is another than the signature's, both; ConversionError where no cast is right."""
    names, inputs = safe_names(model.graph), graph_inputs(model)
    by_name = {column.name: column for column in signature.inputs}
    if missing := [tensor.name for tensor in inputs if tensor.name not in by_name]:
        _require_matrix(artifact, signature, inputs, missing)
    pairs = [(t, c) for t in inputs for c in ([by_name[t.name]] if t.name in by_name else signature.inputs)]
    for tensor, column in pairs:
        if not _can_be_cast(column.served.dtype, tensor.dtype):
            raise ConversionError(
                f"{artifact.version}: its graph takes {tensor.name!r} as {tensor.dtype}, and its signature says "
                f"{column.name!r} is {column.type}: log the model with the signature of the graph"
            )
    others = [(t, c) for t, c in pairs if c.served.dtype != t.dtype]
    return {names[t.name]: f"{t.dtype} in the graph, {c.type} in the signature" for t, c in others}


def _require_matrix(artifact: Artifact, signature: Signature, inputs: Sequence[Tensor], missing: Sequence[str]) -> None:
    """A graph of one input takes whatever the signature has, joined; any other takes each under its name."""
    said = f"{artifact.version}: its graph takes {', '.join(tensor.name for tensor in inputs)}, and its signature has"
    if len(inputs) > 1:
        there = ", ".join(column.name for column in signature.inputs)
        raise ConversionError(f"{said} {there}: log the model with a signature that has {', '.join(missing)}")
    width, columns = inputs[0].dims[-1:], len(signature.inputs)
    if signature.form == "columns" and width not in {(columns,), (-1,)}:
        raise ConversionError(f"{said} {columns} columns: log the model with the {inputs[0].dims} that the graph takes")


def _can_be_cast(said: str, taken: str) -> bool:
    """Text is no number, and a fraction is no whole one; between the rest, what changes a value is refused then."""
    if "BYTES" in {said, taken}:
        return said == taken
    return taken.startswith("FP") or not said.startswith("FP")
