"""
An ONNX graph: what it says of itself, and the corrections that make every Triton of ours load it.

A correction takes a graph and gives a graph; the one it took is not used again.
"""

from __future__ import annotations

from sextant_export.onnx_graph.batch import with_free_batch
from sextant_export.onnx_graph.correction import corrected
from sextant_export.onnx_graph.facts import graph_inputs, graph_outputs, noted
from sextant_export.onnx_graph.names import renamed_outputs, with_settled_names
from sextant_export.onnx_graph.oldest import NEWEST_IR, NEWEST_OPSETS
from sextant_export.onnx_graph.sessions import answers, open_session
from sextant_export.onnx_graph.trial import with_true_shapes
from sextant_export.onnx_graph.versions import with_loadable_versions

__all__ = [
    "NEWEST_IR",
    "NEWEST_OPSETS",
    "answers",
    "corrected",
    "graph_inputs",
    "graph_outputs",
    "noted",
    "open_session",
    "renamed_outputs",
    "with_free_batch",
    "with_loadable_versions",
    "with_settled_names",
    "with_true_shapes",
]
