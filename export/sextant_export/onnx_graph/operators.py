"""The operators of a graph, against those that the oldest ONNX Runtime has."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from sextant.errors import ConversionError
from sextant_export.onnx_graph.oldest import ABSENT, MICROSOFT, NEWEST_OPSETS, RUNTIME, UNLISTED
from sextant_export.onnx_graph.scopes import graphs

_MORE = 20


def refuse_unknown_operators(model: onnx.ModelProto) -> None:
    """``ConversionError`` names every operator, and each node of it, that the oldest target does not run."""
    nodes = list(_unknown(model))
    if nodes:
        named = [f"{_operator(node)} (node {node.name!r})" for node in nodes[:_MORE]]
        more = f" and {len(nodes) - _MORE} more" if len(nodes) > _MORE else ""
        raise ConversionError(
            f"{RUNTIME}, the oldest served here, does not run {', '.join(named)}{more}: "
            "export the model with operators of ONNX itself, or write these as several of those"
        )


def is_known(domain: str, name: str) -> bool:
    """
    Whether the oldest target runs the operator *name* of *domain*, in some operator set.

    >>> is_known("", "MatMul"), is_known("", "MatMool"), is_known("com.microsoft", "Gelu")
    (True, False, True)
    """
    if domain == "com.microsoft":
        return name in MICROSOFT
    if domain not in NEWEST_OPSETS or (domain, name) in ABSENT:
        return False
    return bool(onnx.defs.has(name, NEWEST_OPSETS[domain], domain)) or (not domain and name in UNLISTED)


def _unknown(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for graph in graphs(model.graph):
        yield from (node for node in graph.node if not is_known(node.domain, node.op_type))


def _operator(node: onnx.NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain else str(node.op_type)
