"""
Names in a graph and in the graphs inside its control-flow nodes.

A graph inside a node sees the names around it, and may define one of them anew for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

import onnx


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs that a node runs: branches, or the body of a loop."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs(inner)


def weight_names(graph: onnx.GraphProto) -> set[str]:
    """What the graph brings with it, listed as an input or not."""
    return {weight.name for weight in graph.initializer} | {weight.values.name for weight in graph.sparse_initializer}


def taken(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that a caller must give."""
    brought = weight_names(graph)
    return [value for value in graph.input if value.name not in brought]


def defined(graph: onnx.GraphProto) -> set[str]:
    """The names that the graph itself gives a meaning."""
    made = chain.from_iterable(node.output for node in graph.node)
    return weight_names(graph) | {value.name for value in graph.input} | set(made)


def used(graph: onnx.GraphProto) -> set[str]:
    """The names that the graph and those inside it ask for."""
    names = {value.name for value in graph.output}
    for node in graph.node:
        names.update(node.input)
        for inner in subgraphs(node):
            names |= used(inner)
    return names


def all_names(graph: onnx.GraphProto) -> set[str]:
    """Every name that means something anywhere in the graph."""
    return set().union(*(defined(inner) | used(inner) for inner in graphs(graph)))


def fresh(wish: str, present: set[str]) -> str:
    """*wish*, or the first numbered one that is not *present*, where it is from now on."""
    name, number = wish, 1
    while name in present:
        number += 1
        name = f"{wish}_{number}"
    present.add(name)
    return name


def rename(graph: onnx.GraphProto, new: Mapping[str, str]) -> None:
    """Call what is a key of *new* by its value, wherever that name means the same."""
    for node in graph.node:
        for side in (node.input, node.output):
            side[:] = [new.get(name, name) for name in side]
        for inner in subgraphs(node):
            own = defined(inner)
            rename(inner, {old: name for old, name in new.items() if old not in own})
    sparse = (weight.values for weight in graph.sparse_initializer)
    for named in chain(graph.input, graph.output, graph.value_info, graph.initializer, sparse):
        named.name = new.get(named.name, named.name)
