"""All corrections, in the order in which each leaves the next what it needs."""

from __future__ import annotations

from pathlib import Path

import onnx

from sextant_export.onnx_graph.batch import with_free_batch
from sextant_export.onnx_graph.maps import without_maps
from sextant_export.onnx_graph.names import with_named_nodes, with_safe_names
from sextant_export.onnx_graph.operators import refuse_unknown_operators
from sextant_export.onnx_graph.scopes import graphs
from sextant_export.onnx_graph.trial import with_true_shapes
from sextant_export.onnx_graph.versions import with_loadable_versions, with_plain_operators
from sextant_export.onnx_graph.weights import with_weights_once


def corrected(model: onnx.ModelProto, weights: Path | None = None) -> onnx.ModelProto:
    """
    The graph as every Triton of ours loads it: tensors only, a free batch axis, true shapes, safe names, old versions.

    What lies outside it lies in the folder *weights*.  The graph that was given is not used again; corrected twice
    is corrected once.  ``ConversionError`` says what cannot be mended, and what to do.
    """
    model = with_safe_names(without_maps(with_named_nodes(with_plain_operators(model))))
    refuse_unknown_operators(model)
    model = with_loadable_versions(with_weights_once(model))
    model = with_free_batch(_without_remarks(model), weights)
    return with_true_shapes(model, weights)


def _without_remarks(model: onnx.ModelProto) -> onnx.ModelProto:
    """Exporters remark where in somebody's files a node came from, and shapes that hold for one batch only."""
    for graph in graphs(model.graph):
        del graph.value_info[:]
        for node in graph.node:
            node.doc_string = ""
            node.ClearField("metadata_props")
    return model
