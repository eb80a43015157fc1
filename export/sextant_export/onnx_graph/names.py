"""The names of a graph's inputs, outputs and everything between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import onnx

from sextant.columns import tensor_names
from sextant_export.onnx_graph.facts import RENAMED, note, noted
from sextant_export.onnx_graph.scopes import all_names, fresh, graphs, rename, taken


def safe_names(graph: onnx.GraphProto) -> dict[str, str]:
    """What Triton calls each input and output, by the graph's own name."""
    names = dict.fromkeys(value.name for value in chain(taken(graph), graph.output))
    return dict(zip(names, tensor_names(names), strict=True))


def with_safe_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph whose inputs and outputs have names that Triton takes; what they were is noted in it."""
    new = {old: name for old, name in safe_names(model.graph).items() if old != name}
    _rename_public(model.graph, new)
    earlier = noted(model, RENAMED)
    note(model, RENAMED, {name: earlier.get(old, old) for old, name in new.items()})
    return model


def renamed_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The graph whose outputs are called *names*, in order."""
    new = {value.name: name for value, name in zip(model.graph.output, names, strict=True)}
    _rename_public(model.graph, {old: name for old, name in new.items() if old != name})
    return model


def with_settled_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its inner names counted through, because some converters draw them at random."""
    names = {value.name: value.name for value in chain(model.graph.input, model.graph.output)} | {"": ""}
    letter = "t"
    while any(name.startswith(letter) for name in names):
        letter += "_"
    for graph in graphs(model.graph):
        graph.name = model.graph.name
        for named in chain(graph.initializer, graph.input, graph.output, graph.value_info):
            named.name = names.setdefault(named.name, f"{letter}{len(names)}")
        for i, node in enumerate(graph.node):
            node.name = f"{node.op_type}_{i}"
            for side in (node.input, node.output):
                side[:] = [names.setdefault(name, f"{letter}{len(names)}") for name in side]
    return model


def with_named_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in which every node has a name, so that whoever refuses it can say where."""
    for graph in graphs(model.graph):
        present = {node.name for node in graph.node}
        for i, node in enumerate(graph.node):
            node.name = node.name or fresh(f"{node.op_type}_{i}", present)
    return model


def _rename_public(graph: onnx.GraphProto, new: Mapping[str, str]) -> None:
    """Rename by *new*; what has one of its names already, further inside, gives way."""
    present = all_names(graph)
    inner = (present - new.keys()) & set(new.values())
    present |= set(new.values())
    rename(graph, {**new, **{name: fresh(name, present) for name in sorted(inner)}})
