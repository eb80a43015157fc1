"""What the graph of a pipeline is called in a store."""

from __future__ import annotations

from itertools import count

from tritonclient.grpc.model_config_pb2 import ModelConfig

from sextant.errors import BreakingChange
from sextant_export.config import onnx_config
from sextant_export.graph_file import GraphFile
from sextant_export.joining import refuse_breaking
from sextant_export.pipeline import Pipeline
from sextant_export.store import Store

GRAPH = "graph"


def graph_model(store: Store, pipeline: Pipeline, graph: GraphFile) -> str:
    """
    ``<pipeline>.graph``; numbered where releases before took or gave other tensors.

    Triton has one configuration for all versions of a model, and a graph that holds another choice of steps is another
    model.
    """
    first = f"{pipeline.name}.{GRAPH}"
    config = onnx_config(first, graph.inputs, graph.outputs, pipeline.serving, [])
    names = (f"{first}.{number}" if number > 1 else first for number in count(1))
    return next(name for name in names if _fits(store.config(name), config))


def _fits(present: ModelConfig | None, config: ModelConfig) -> bool:
    try:
        if present is not None:
            refuse_breaking(present, config)
    except BreakingChange:
        return False
    return True
