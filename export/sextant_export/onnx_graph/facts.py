"""What a graph says of itself: its inputs and outputs in Triton's words, and what was noted in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import onnx

from sextant.errors import ConversionError
from sextant.tensors import Tensor
from sextant_export.onnx_graph.scopes import taken

DTYPES: Mapping[int, str] = {
    onnx.TensorProto.BOOL: "BOOL",
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.UINT16: "UINT16",
    onnx.TensorProto.UINT32: "UINT32",
    onnx.TensorProto.UINT64: "UINT64",
    onnx.TensorProto.INT8: "INT8",
    onnx.TensorProto.INT16: "INT16",
    onnx.TensorProto.INT32: "INT32",
    onnx.TensorProto.INT64: "INT64",
    onnx.TensorProto.FLOAT16: "FP16",
    onnx.TensorProto.FLOAT: "FP32",
    onnx.TensorProto.DOUBLE: "FP64",
    onnx.TensorProto.STRING: "BYTES",
}
RENAMED = "renamed"
"""Noted of a name that Triton does not take: it, by the name that stands for it."""
LABELS = "labels"
"""Noted of a ZipMap: its classes in the order of the tensor's columns, by the name of the output."""
TYPES = "types"
"""Noted of an input whose type is not the signature's: both, by its name."""
NOTES = (RENAMED, LABELS, TYPES)

_KEY = "sextant."


def graph_inputs(model: onnx.ModelProto) -> tuple[Tensor, ...]:
    """What the graph takes, per row: the first axis is the batch."""
    return tuple(_tensor(value) for value in taken(model.graph))


def graph_outputs(model: onnx.ModelProto) -> tuple[Tensor, ...]:
    """What the graph gives, per row: the first axis is the batch."""
    return tuple(_tensor(value) for value in model.graph.output)


def note(model: onnx.ModelProto, key: str, facts: Mapping[str, Any]) -> None:
    """Write *facts* into the graph's own metadata, beside what stands there under *key*."""
    whole = {**noted(model, key), **facts}
    kept = [entry for entry in model.metadata_props if entry.key != _KEY + key]
    if whole:
        text = json.dumps(whole, sort_keys=True)
        kept.append(onnx.StringStringEntryProto(key=_KEY + key, value=text))
    kept = [onnx.StringStringEntryProto(key=entry.key, value=entry.value) for entry in kept]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)


def noted(model: onnx.ModelProto, key: str) -> dict[str, Any]:
    """What :func:`note` wrote under *key*."""
    for entry in model.metadata_props:
        if entry.key == _KEY + key:
            return dict(json.loads(entry.value))
    return {}


def fixed_batch(model: onnx.ModelProto) -> int | None:
    """The one number of rows that the graph takes; None where any number will do."""
    sizes = {dim.dim_value for dim in map(_first, taken(model.graph)) if dim.HasField("dim_value")}
    if len(sizes) > 1:
        said = " and ".join(map(str, sorted(sizes)))
        raise ConversionError(
            f"its inputs have {said} rows, so their first axes are no common batch: "
            "export the model with the batch as the first axis of every input"
        )
    return next(iter(sizes), None)


def _first(value: onnx.ValueInfoProto) -> onnx.TensorShapeProto.Dimension:
    dims = value.type.tensor_type.shape.dim
    if not dims:
        raise ConversionError(f"{value.name!r} has no batch axis: export the model with a dynamic first axis")
    return dims[0]


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    described = value.type.tensor_type
    if described.elem_type not in DTYPES:
        raise ConversionError(
            f"{value.name!r} is no tensor that Triton knows: {value.type}".replace("\n", " ")
            + "; export the model with float32 inputs and outputs"
        )
    sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in described.shape.dim]
    return Tensor(value.name, DTYPES[described.elem_type], tuple(sizes[1:]))
