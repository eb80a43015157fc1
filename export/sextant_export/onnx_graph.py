"""
What an ONNX graph says of itself, and the small corrections that make every Triton of ours load it.

A correction takes a graph and gives a graph; the one it took is not used again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from sextant.errors import ConversionError
from sextant.tensors import Tensor

# ONNX Runtime 1.19, inside Triton 24.10, is the oldest that must load what is written here.
NEWEST_IR = 10
NEWEST_OPSETS: Mapping[str, int] = {"": 21, "ai.onnx.ml": 5}
LARGEST_BYTES = 2**31 - 1

_NUMPY: Mapping[str, str] = {
    "tensor(bool)": "bool",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
}
_DTYPES: Mapping[int, str] = {
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


def graph_inputs(model: onnx.ModelProto) -> tuple[Tensor, ...]:
    """What the graph takes, per row: the first axis is the batch."""
    weights = {weight.name for weight in model.graph.initializer}
    return tuple(_tensor(value) for value in model.graph.input if value.name not in weights)


def graph_outputs(model: onnx.ModelProto) -> tuple[Tensor, ...]:
    """What the graph gives, per row: the first axis is the batch."""
    return tuple(_tensor(value) for value in model.graph.output)


def open_session(model: onnx.ModelProto) -> ort.InferenceSession:
    """The graph, loaded by ONNX Runtime on the CPU; ConversionError says why it is refused."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ConversionError(f"ONNX Runtime does not load the graph: {_first_line(error)}") from error


def answers(session: ort.InferenceSession, rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """What the graph answers to *rows* (B, ...) of its one input, by the name of the output."""
    (taken,) = session.get_inputs()
    try:
        given = session.run(None, {taken.name: rows.astype(_NUMPY[taken.type], copy=False)})
    except Exception as error:
        raise ConversionError(f"the graph fails on {len(rows)} rows: {_first_line(error)}") from error
    return {output.name: array for output, array in zip(session.get_outputs(), given, strict=True)}


def corrected(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with a free batch axis, its true output shapes, and versions that the oldest target loads."""
    model = with_free_batch(with_loadable_versions(model))
    if (size := model.ByteSize()) > LARGEST_BYTES:
        raise ConversionError(f"the graph is {size} bytes; one ONNX file holds at most {LARGEST_BYTES}")
    return with_true_shapes(model)


def with_loadable_versions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph at an IR version and operator sets that the oldest target loads."""
    for opset in model.opset_import:
        newest = NEWEST_OPSETS.get(opset.domain, opset.version)
        if opset.version > newest and not opset.domain:
            model = _lowered(model, newest)
        elif opset.version > newest:
            said = f"the graph uses {opset.domain} {opset.version}; the oldest Triton served here has {newest}"
            raise ConversionError(f"{said}: export it with that operator set")
    model.ir_version = min(model.ir_version, NEWEST_IR)
    return model


def with_free_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with the first axis of every input and output free; ConversionError where there is none."""
    weights = {weight.name for weight in model.graph.initializer}
    for value in chain(model.graph.input, model.graph.output):
        if value.name in weights:
            continue
        dims = value.type.tensor_type.shape.dim
        if not dims:
            raise ConversionError(f"{value.name!r} has no batch axis: export the model with a dynamic first axis")
        dims[0].Clear()
        dims[0].dim_param = "batch"
    return model


def with_true_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """
    The graph with the shapes that its outputs have when it runs; converters declare (-1, 1) for (-1, K).

    Two batches of different size are run, so a graph that only pretends to batch is refused.
    """
    session = open_session(_undeclared(model))
    small, large = (answers(session, rows) for rows in _trials(model))
    for value in model.graph.output:
        shapes = small[value.name].shape, large[value.name].shape
        if [shape[:1] for shape in shapes] != [(2,), (3,)]:
            raise ConversionError(f"output {value.name!r} of 2 and of 3 rows has shapes {shapes}: it does not batch")
        _declare(value, [pair[0] if len(set(pair)) == 1 else -1 for pair in zip(*shapes, strict=True)])
    return model


def renamed_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The graph whose outputs are called *names*, in order."""
    new = {value.name: name for value, name in zip(model.graph.output, names, strict=True)}
    for node in model.graph.node:
        for side in (node.input, node.output):
            side[:] = [new.get(name, name) for name in side]
    for value in chain(model.graph.output, model.graph.value_info):
        value.name = new.get(value.name, value.name)
    return model


def with_settled_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its inner names counted through, because some converters draw them at random."""
    public = {value.name: value.name for value in chain(model.graph.input, model.graph.output)}
    names = {"": "", **public}
    for graph in _graphs(model.graph):
        graph.name = model.graph.name
        for named in chain(graph.initializer, graph.input, graph.output, graph.value_info):
            named.name = names.setdefault(named.name, f"t{len(names)}")
        for i, node in enumerate(graph.node):
            node.name = f"{node.op_type}_{i}"
            for side in (node.input, node.output):
                side[:] = [names.setdefault(name, f"t{len(names)}") for name in side]
    return model


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside its nodes."""
    yield graph
    for attribute in chain.from_iterable(node.attribute for node in graph.node):
        if attribute.HasField("g"):
            yield from _graphs(attribute.g)


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    described = value.type.tensor_type
    if described.elem_type not in _DTYPES:
        raise ConversionError(f"{value.name!r} is no tensor that Triton knows: {value.type}".replace("\n", " "))
    sizes = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in described.shape.dim]
    return Tensor(value.name, _DTYPES[described.elem_type], tuple(sizes[1:]))


def _trials(model: onnx.ModelProto) -> Iterator[NDArray[Any]]:
    inputs = graph_inputs(model)
    if len(inputs) != 1:
        names = ", ".join(tensor.name for tensor in inputs)
        raise ConversionError(f"the graph takes {len(inputs)} tensors ({names}); this version serves models of one")
    for rows in (2, 3):
        yield np.zeros((rows, *(max(size, 1) for size in inputs[0].dims)), dtype=inputs[0].numpy_type)


def _undeclared(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that claims nothing of its outputs' shapes, so that a wrong claim cannot stop the trial."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    return copy


def _declare(value: onnx.ValueInfoProto, sizes: Sequence[int]) -> None:
    shape = value.type.tensor_type.shape
    shape.ClearField("dim")
    shape.dim.add(dim_param="batch")
    for size in sizes[1:]:
        shape.dim.add(**({"dim_value": size} if size >= 0 else {}))


def _lowered(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    try:
        return onnx.version_converter.convert_version(model, opset)
    except Exception as error:
        said = f"the graph cannot be lowered to operator set {opset}, which the oldest Triton served here has"
        raise ConversionError(f"{said}: {_first_line(error)}; export it with that operator set") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
