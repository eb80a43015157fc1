"""Answers that are no tensors: a ZipMap becomes the tensor it was made of; whatever else is refused."""

from __future__ import annotations

from itertools import chain

import onnx

from sextant.errors import ConversionError
from sextant_export.onnx_graph.facts import LABELS, note
from sextant_export.onnx_graph.scopes import taken


def zip_maps(graph: onnx.GraphProto) -> dict[str, list[str] | list[int]]:
    """The classes of each answer that is a map for every row, by the name of the answer."""
    nodes = {node.output[0]: node for node in graph.node if _is_zip_map(node)}
    return {value.name: _labels(nodes[value.name]) for value in graph.output if value.name in nodes}


def without_maps(model: onnx.ModelProto) -> onnx.ModelProto:
    """
    The graph whose answers are tensors; ConversionError where one is another thing than a ZipMap.

    The classes that named a ZipMap's columns are noted in the graph.
    """
    note(model, LABELS, zip_maps(model.graph))
    mapped = {node.output[0] for node in model.graph.node if _is_zip_map(node)}
    for node in filter(_is_zip_map, model.graph.node):
        source, target = node.input[0], node.output[0]
        node.CopyFrom(onnx.helper.make_node("Identity", [source], [target], name=node.name))
    for value in model.graph.output:
        if value.name in mapped:
            value.type.CopyFrom(onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None))
    _refuse_others(model)
    return model


def _refuse_others(model: onnx.ModelProto) -> None:
    for value in chain(taken(model.graph), model.graph.output):
        kind = (value.type.WhichOneof("value") or "nothing").removesuffix("_type")
        if kind != "tensor":
            raise ConversionError(
                f"{value.name!r} is a {kind}, and Triton serves tensors: stack it into one (SequenceAt, "
                "ConcatFromSequence), or leave it out of the graph, and log the model again"
            )


def _is_zip_map(node: onnx.NodeProto) -> bool:
    return bool(node.op_type == "ZipMap" and node.domain == "ai.onnx.ml")


def _labels(node: onnx.NodeProto) -> list[str] | list[int]:
    for attribute in node.attribute:
        if attribute.strings:
            return [text.decode() for text in attribute.strings]
        if attribute.ints:
            return list(attribute.ints)
    return []
