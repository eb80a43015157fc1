"""The weights of a graph: each once, none that nobody asks for, and small ones inside the graph itself."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_tensor, uses_external_data

from sextant_export.onnx_graph.scopes import graphs, rename, used, weight_names

SMALL_BYTES = 1024
"""Up to here a weight may be a shape or an axis, which must be read to understand the graph."""

_HALVES = {TensorProto.INT4, TensorProto.UINT4}


def tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every tensor that the model holds: weights, and what stands in attributes."""
    for graph in graphs(model.graph):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    nodes = chain.from_iterable(holder.node for holder in (*graphs(model.graph), *model.functions))
    for attribute in chain.from_iterable(node.attribute for node in nodes):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors


def tensor_size(tensor: TensorProto) -> int:
    """The bytes of a tensor's numbers; text counts for nothing."""
    count: int = math.prod(tensor.dims)
    if tensor.data_type in _HALVES:
        return (count + 1) // 2
    known = tensor.data_type in onnx.TensorProto.DataType.values() and tensor.data_type != TensorProto.STRING
    return count * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize) if known else 0


def weights_size(model: onnx.ModelProto) -> int:
    """The bytes of all weights, wherever they lie."""
    return sum(map(tensor_size, tensors(model)))


def with_small_weights_inside(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """The graph with its small weights out of the files in *folder*."""
    for tensor in tensors(model):
        if uses_external_data(tensor) and tensor_size(tensor) <= SMALL_BYTES:
            load_external_data_for_tensor(tensor, str(folder))
    return model


def with_constants_as_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph whose large constants are weights, because only those can lie outside it."""
    for graph in graphs(model.graph):
        answers = {value.name for value in graph.output}
        large = [node for node in graph.node if _is_large_constant(node) and node.output[0] not in answers]
        for node in large:
            weight = graph.initializer.add()
            weight.CopyFrom(node.attribute[0].t)
            weight.name = node.output[0]
            graph.node.remove(node)
    return model


def without_weights(model: onnx.ModelProto, heavy: Callable[[TensorProto], bool]) -> onnx.ModelProto:
    """A copy in which the *heavy* weights are inputs of their kind and size, for whoever only reads the nodes."""
    light = onnx.ModelProto()
    light.CopyFrom(model)
    aside = [weight for weight in model.graph.initializer if heavy(weight)]
    names = {weight.name for weight in aside}
    keep(light.graph.initializer, lambda weight: weight.name not in names)
    present = {value.name for value in light.graph.input}
    for weight in (weight for weight in aside if weight.name not in present):
        light.graph.input.append(onnx.helper.make_tensor_value_info(weight.name, weight.data_type, list(weight.dims)))
    return light


def is_heavy(weight: TensorProto) -> bool:
    """Whether a weight is no shape or axis, and so need not be read to understand the graph."""
    return uses_external_data(weight) or tensor_size(weight) > SMALL_BYTES


def with_weights_once(model: onnx.ModelProto, folder: Path | None = None) -> onnx.ModelProto:
    """
    The graph without equal weights, without weights and nodes that nobody asks for, and with no weight as an input.

    Equal bytes in the files of *folder* are found too, and one of them is left to lie there unread.
    """
    for graph in graphs(model.graph):
        _drop_unused(graph)
        _merge_equal(graph, folder)
    brought = weight_names(model.graph)
    keep(model.graph.input, lambda value: value.name not in brought)
    return model


def keep(field: Any, wanted: Callable[[Any], bool]) -> None:
    """Leave in a repeated field what is *wanted*."""
    for i in reversed(range(len(field))):
        if not wanted(field[i]):
            del field[i]


def _is_large_constant(node: onnx.NodeProto) -> bool:
    if node.op_type != "Constant" or node.domain not in {"", "ai.onnx"} or len(node.attribute) != 1:
        return False
    (attribute,) = node.attribute
    return attribute.HasField("t") and (tensor_size(attribute.t) > SMALL_BYTES or uses_external_data(attribute.t))


def _drop_unused(graph: onnx.GraphProto) -> None:
    asked = used(graph)
    while not all(_is_asked_for(node, asked) for node in graph.node):
        keep(graph.node, partial(_is_asked_for, names=asked))
        asked = used(graph)
    keep(graph.initializer, lambda weight: weight.name in asked)
    keep(graph.sparse_initializer, lambda weight: weight.values.name in asked)


def _is_asked_for(node: onnx.NodeProto, names: set[str]) -> bool:
    return any(name in names for name in node.output)


def _merge_equal(graph: onnx.GraphProto, folder: Path | None) -> None:
    """Weights that are alike in kind and size are compared by content; an answer keeps its own."""
    answers = {value.name for value in graph.output}
    alike = Counter(map(_kind, graph.initializer))
    first: dict[object, str] = {}
    new: dict[str, str] = {}
    for weight in graph.initializer:
        if alike[_kind(weight)] > 1 and weight.name not in answers:
            kept = first.setdefault((_kind(weight), _content(weight, folder)), weight.name)
            if kept != weight.name:
                new[weight.name] = kept
    for field in (graph.initializer, graph.input):
        keep(field, lambda named: named.name not in new)
    rename(graph, new)


def _kind(weight: TensorProto) -> tuple[int, tuple[int, ...]]:
    return weight.data_type, tuple(weight.dims)


def _content(weight: TensorProto, folder: Path | None) -> object:
    if not uses_external_data(weight):
        return _inner_bytes(weight)
    place = ExternalDataInfo(weight)
    if folder is None:
        return place.location, place.offset, place.length
    return _digest(folder / place.location, place.offset or 0, place.length or tensor_size(weight))


def _inner_bytes(weight: TensorProto) -> bytes:
    """The numbers as they would lie in a file, so that both ways to hold them compare."""
    if weight.HasField("raw_data"):
        return hashlib.sha256(weight.raw_data).digest()
    bare = TensorProto()
    bare.CopyFrom(weight)
    bare.ClearField("name")
    return bytes(bare.SerializeToString(deterministic=True))


def _digest(file: Path, offset: int, length: int) -> bytes:
    total = hashlib.sha256()
    with file.open("rb") as stream:
        stream.seek(offset)
        while length > 0 and (block := stream.read(min(length, 1 << 20))):
            total.update(block)
            length -= len(block)
    return total.digest()
