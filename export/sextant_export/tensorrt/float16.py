"""
A graph in half precision, for strongly typed networks: TensorRT 11 takes precision from the graph alone.

``nvidia-modelopt``'s AutoCast chooses node by node and is the better tool for large models; it pins other versions of
onnx and wants CUDA, so it runs in an environment of its own, and its graph is registered as any other
(docs/tensorrt.md).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx

from sextant.errors import ConversionError, MissingExtra
from sextant_export.graph_file import MODEL, GraphFile
from sextant_export.onnx_graph.sessions import LARGE_BYTES
from sextant_export.onnx_graph.weights import weights_size


def halved(graph: GraphFile, directory: Path) -> GraphFile:
    """*graph* with float16 inside, in the new folder *directory*; what it takes and gives stays float32."""
    try:
        from onnxconverter_common.float16 import convert_float_to_float16
    except ImportError as error:
        raise MissingExtra("tensorrt", "rewriting a graph to float16") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for each weight that float16 rounds to zero; the proof sees them all
            model = named(onnx.load(graph.path))
            model = convert_float_to_float16(model, keep_io_types=True, node_block_list=casts(model))
    except Exception as error:
        raise ConversionError(f"the graph cannot be rewritten to float16: {error}") from error
    # Not settled again: it was, and ONNX Runtime 1.32 dies of the trial run of some graphs in float16.
    directory.mkdir(parents=True)
    outside = weights_size(model) >= LARGE_BYTES
    onnx.save(model, directory / MODEL, save_as_external_data=outside, location=f"{MODEL}.data")
    return GraphFile(directory / MODEL)


def named(model: onnx.ModelProto) -> onnx.ModelProto:
    """*model* with a name of its own for every node: the converter keeps its books by them."""
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{number}"
    return model


def casts(model: onnx.ModelProto) -> list[str]:
    """The casts to float32, which the converter would leave as they are, with float16 weights behind them."""
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Cast" and node.attribute[0].i == onnx.TensorProto.FLOAT
    ]
