"""Members' graphs inside another graph, their names kept apart from all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import PurePath

import onnx

from sextant_export.fusing.graph import FusedGraph
from sextant_export.onnx_graph.external import prefixed
from sextant_export.onnx_graph.scopes import graphs


def merge(graph: FusedGraph, model: onnx.ModelProto, prefix: str, inputs: Mapping[str, str]) -> dict[str, str]:
    """
    Put *model* into *graph*, fed from *inputs*, its own name by the graph's; gives what its outputs are called there.

    Its operator sets must be those of the graph, and its weights lie in the folder *prefix*.
    """
    own = onnx.ModelProto()
    own.CopyFrom(model)
    prefixed(own, PurePath(prefix))
    settled = {"": "", **inputs}

    def named(name: str) -> str:
        return settled.get(name, f"{prefix}:{name}")

    for scope in graphs(own.graph):
        _rename(scope, named, prefix)
    graph.take(own.graph)
    return {value.name: named(value.name) for value in model.graph.output}


def _rename(scope: onnx.GraphProto, named: Callable[[str], str], prefix: str) -> None:
    """
    Every name in *scope* alone, defined there or not: as all change alike, each means what it meant.

    A name that a branch defines for itself is in a caller's way no more than before.
    """
    for node in scope.node:
        node.name = f"{prefix}:{node.name}"
        for side in (node.input, node.output):
            side[:] = map(named, side)
    sparse = chain.from_iterable((weight.values, weight.indices) for weight in scope.sparse_initializer)
    for value in chain(scope.input, scope.output, scope.value_info, scope.initializer, sparse):
        value.name = named(value.name)
